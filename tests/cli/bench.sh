# `p4c bench`: the report's shape, and figures that make sense.
. "$(dirname "$0")/lib.sh"
status 0 "$P4C" bench "$FIX/tiny.so" -p 16,32 -n 4 -d 8 -b 1,3 -r 3 -t 2 --json
empty err
json "set(x['machine']) >= {'read_gb_s', 'int8_gmac_s', 'bf16_gmac_s'} and all(v > 0 for v in x['machine'].values())"
json "x['load_ms'] > 0 and x['first_token_ms'] > 0 and x['peak_anon_bytes'] > 0"
json "[(t['kind'], t['tokens'], t['depth'], t['batch'], t['threads']) for t in x['tests']] == [('prompt', 16, 8, 1, 2), ('prompt', 32, 8, 1, 2), ('generate', 4, 8, 1, 2), ('generate', 4, 8, 3, 2)]"
json "all(0 < t['tok_s']['min'] <= t['tok_s']['median'] <= t['tok_s']['max'] for t in x['tests'])"
json "all(0 < t['limit'] < 20 and t['bytes_per_token'] > 0 for t in x['tests'])"
# a sequence of a batch reads its share of the weights
json "x['tests'][3]['bytes_per_token'] < 0.5 * x['tests'][2]['bytes_per_token']"
status 0 "$FIX/tiny.so" bench -p 0 -n 4 -r 1 --per-op
has out 'generate'
has out 'linear'
status 2 "$FIX/tiny.so" bench -p 1000
one_error 0802
status 2 "$FIX/tiny.so" bench --raw
finish
