# `p4c synth`: a checkpoint of full shape that p4c itself accepts (one layer, half a gigabyte for a moment).
. "$(dirname "$0")/lib.sh"
status 2 "$P4C" synth phi-5 -o x
status 2 "$P4C" synth phi-4
status 2 "$P4C" synth phi-4 -o x --format fp8
status 6 "$P4C" synth phi-4 -o missing/x
[ "$(df --output=avail -B1M . | tail -1)" -gt 2000 ] || { echo 'less than 2 GB free: not run'; finish; }
status 0 "$P4C" synth phi-3-mini -o m --layers 1 --format gptq --seed 7 --json
json "x['layers'] == 1 and x['bytes'] > 4e8"
status 0 "$P4C" inspect m --json
json "x['config']['num_hidden_layers'] == 1 and x['config']['quantization_config']['bits'] == 4"
json "{'model.layers.0.self_attn.qkv_proj.qweight', 'model.layers.0.mlp.down_proj.g_idx', 'lm_head.weight'} <= {t['name'] for t in x['tensors']}"
status 0 "$P4C" tokenize m -p 'the quick brown fox<|end|>' --json
json "x['ids'][-1] == 32007 and len(x['ids']) < 15"
# a checkpoint that is there is not overwritten
status 6 "$P4C" synth phi-3-mini -o m --layers 1 --format gptq
one_error 0711
# the file system is the limit: one line, status 6
(ulimit -f 100000 && exec "$P4C" synth phi-3-mini -o n --layers 1 --format gptq) >out 2>err
[ $? = 6 ] || bad 'the limit of file sizes is not status 6'
one_error 0740
finish
