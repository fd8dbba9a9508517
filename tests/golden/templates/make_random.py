#!/usr/bin/env python3
"""Writes random.jsonl: random templates, what they are given, and what transformers makes of them.

    pip install transformers==5.23.0 jinja2==3.1.6
    tests/golden/templates/make_random.py SEED COUNT > tests/golden/templates/random.jsonl

Each line: template, messages, tools, tokens, now (seconds since 1970, for strftime_now), text (null
where it raises).  Three kinds take turns: expressions with filters, tests and methods; statements
with scopes, loops, macros and white space; numbers and format strings.  A line is left out whose
result depends on the process (addresses), on arithmetic beyond 64 bits, or on an iterator that
nobody walks, which the renderer looks at early.
"""
import datetime
import json
import random
import re
import signal
import sys
import warnings

from transformers.utils import chat_template_utils as hf

R = random
NOW = datetime.datetime(2024, 7, 26, 9, 5, 7)
EPOCH = datetime.datetime(1970, 1, 1)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


hf.datetime = Clock


def render(case):
    messages = [{k: v for k, v in m.items() if v is not None} for m in case["messages"]]
    template = hf._compile_jinja_template(case["template"])
    return template.render(messages=hf._alias_reasoning_fields(messages), tools=case["tools"],
                           documents=None, add_generation_prompt=True, **case["tokens"])


# ---- expressions ----

TEXTS = ["'a'", "'Hello World'", "''", "' x '", "'a-b-c'", "'\u00e9\u4f60\U0001f642'", "'A\\nB\\n'", "'<b>&'",
         "'1,2,,3'", "'12'", "'-3.5'", "'\u0391\u03a3'", "'stra\u00dfe'", "\"it's\"", "'%s=%d'", "'{} {}'", "'\\u200b'",
         "'a  b'", "'\u01c6x'", "'3_000'", "' 42 '"]
NUMBERS = ["0", "1", "2", "3", "-1", "7", "10", "100", "0.5", "1.0", "2.5", "-3.7", "1e3", "0.1", "1e20", "2.675"]
NAMES = ["messages", "m", "x", "y", "ns", "ns.a", "nothing", "tools", "bos_token", "d", "l", "t", "s", "loop", "m.content",
         "m.role", "messages[0]", "messages[-1].content", "n"]
FILTERS = """trim upper lower title capitalize length first last list join join(",") join("-", attribute="role")
default("d") default("d",true) replace("a","b") replace("","_") replace("l","LL",1) tojson tojson(indent=2)
tojson(sort_keys=true) string int int(5) float abs round round(1) round(1,"floor") round(0,"ceil") sort sort(reverse=true)
sort(attribute="role") unique|list reverse|list min max sum map("upper")|list map("length")|list map(attribute="role")|list
map(attribute="x",default="?")|join select|list reject|list select("string")|list select("defined")|list
selectattr("role")|list selectattr("role","eq","user")|list rejectattr("role","in",["user"])|list items|list dictsort
batch(2)|list batch(3,"-")|list slice(2)|list slice(3,"z")|list indent indent(2) indent(3,true)
indent(">>",first=true,blank=true) center(9) truncate(5) truncate(6,true) truncate(4,true,"",0) wordcount urlencode e
forceescape safe groupby("role")|length count d("q") trim("a ") format(1,2) format("x",3) tojson(separators=(",",":"))
tojson(ensure_ascii=true)""".replace('"a ', '"a\0').split()
FILTERS = [f.replace("\0", " ") for f in FILTERS]
TESTS = """defined undefined none string number integer float boolean true false mapping sequence iterable callable odd even
divisibleby(3) lower upper eq(1) in("abc") lt(3) escaped""".split() + ["eq 1", 'ne "a"', 'in [1,"a"]', "gt 1", "ge 2", "sameas none"]
METHODS = """.upper() .lower() .strip() .lstrip() .split() .split(",") .rsplit("-",1) .rsplit() .startswith("H")
.endswith(("d","c")) .replace("l","L") .find("o") .rfind("o") .count("l") .title() .capitalize() .swapcase() .casefold()
.isdigit() .isalpha() .isupper() .zfill(6) .center(8,"*") .ljust(5) .rjust(7,".") .partition("-") .splitlines()
.splitlines(true) .join(["a","b"]) .format(1,"z") .items() .keys()|list .values()|list .get("role") .get("zz","dflt")
.index("a") .removeprefix("He") .removesuffix("d") .isspace() .isalnum() .istitle() .expandtabs(4) .append(1) .role
["role"] [0] [-1] [1:] [:2] [::-1] [::2] [-3:-1] .a .foo ["foo"] .islower() .find("l",3) .count("")""".split()
METHODS += ['.rstrip("d ")', '.split(" ",1)', '.rpartition(" ")']


def operand(depth):
    e = expression(depth)
    return e if re.fullmatch(r"[\w.]+|'[^']*'", e) else "(" + e + ")"


def expression(depth):
    r = R.random()
    if depth <= 0 or r < .25:
        return R.choice([R.choice(TEXTS), R.choice(NUMBERS), R.choice(["true", "false", "none"]), R.choice(NAMES),
                         R.choice(NAMES)])
    if r < .32:
        return "%s|%s" % (R.choice(TEXTS + ["s", "l", "d", "t", "messages", "x", "n", "d.items()",
                                            "messages|map(attribute='content')|list"]), R.choice(FILTERS))
    if r < .42:
        return "(%s)|%s" % (expression(depth - 1), R.choice(FILTERS))
    if r < .58:
        texts = TEXTS + ["s", "bos_token", "m.content", "messages[0].content", "(s ~ x)"]
        return (R.choice(texts) if R.random() < .65 else operand(depth - 1)) + R.choice(METHODS)
    a, b = operand(depth - 1), operand(depth - 1)
    if r < .66:
        return "%s %s %s" % (a, R.choice("+ - * / // % ~ +".split()), b)
    if r < .72:
        return "%s %s %s" % (a, R.choice(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]), b)
    if r < .74:
        return "%s < %s <= %s" % (a, b, operand(depth - 1))
    if r < .80:
        return "%s %s %s" % (a, R.choice(["and", "or"]), b)
    if r < .83:
        return "not " + a
    if r < .88:
        return "%s is %s%s" % (a, R.choice(["", "not "]), R.choice(TESTS))
    if r < .91:
        return "(%s if %s%s)" % (a, b, "" if R.random() < .3 else " else " + operand(depth - 1))
    items = ", ".join(expression(depth - 1) for _ in range(R.randint(0, 3)))
    if r < .94:
        return "[%s]" % items
    if r < .96:
        return "(%s,)" % (items or "1")
    if r < .98:
        keys = ["'a'", "'b'", "1", "2.0", "true", "none"]
        return "{%s}" % ", ".join("%s: %s" % (R.choice(keys), expression(depth - 1)) for _ in range(R.randint(0, 3)))
    return R.choice(["range(1,7,2)|list", "range(3)", "dict(a=1,b='x')", "strftime_now('%d %b %Y %H:%M %j %A')", "range(5)[1:3]"])


PREAMBLE = ('{% set ns = namespace(a=1) %}{% set d = {"role": "R", "b": [1,2], "a": none} %}{% set l = [3,1,2] %}'
            '{% set t = ("p","q") %}{% set s = "Hello World" %}{% set n = 4 %}{% set m = messages[0] %}')

# ---- statements ----

SLOTS = ["a", "b", "c", "ctx", "bos_token", "messages", "k"]


def gap():
    return R.choice(["", "", "", "\n", "\n\n", " ", "  ", "\t", "\n  ", " \n", "\r\n", ".", "|\n", "\n\t"])


def tag(s):
    return "{%" + R.choice(["", "", "", "-", "+"]) + R.choice([" ", "", "\n"]) + s + R.choice([" ", ""]) + \
        R.choice(["", "", "", "-", "+"]) + "%}"


def show(e):
    return "{{" + R.choice(["", "-"]) + " " + e + " " + R.choice(["", "-"]) + "}}"


def value():
    return R.choice(["1", "2", "'x'", "'y'", R.choice(SLOTS), "ns.v", "ns.w", "loop.index0 if loop is defined", "[1,2]", "none",
                     "a|string ~ '.'", "(b, c)", "[a, b]", "ctx", "a is defined", "'%s' % b", "k|default('D')"])


def condition():
    return R.choice(["a is defined", "b", "ctx", "loop is defined", "not c", "true", "false", "a == b", "k is defined",
                     "x is defined", "ns.w"])


def printed():
    return show(R.choice([R.choice(SLOTS), R.choice(SLOTS) + " is defined", "ns.v", "loop.index if loop is defined",
                          "loop.last if loop is defined", "ns.w", "a", "b", "c", "k", "loop.length if loop is defined",
                          "loop.previtem|default('P') if loop is defined", "loop.nextitem|default('N') if loop is defined",
                          "loop.changed(ns.v) if loop is defined", "loop.cycle(1,2,3) if loop is defined"]))


def statements(depth):
    return "".join(gap() + statement(depth) for _ in range(R.randint(1, 3))) + gap()


def for_loop(depth):
    condition_of = R.choice(["x", "x != 2", "ns.v < 5", "a is defined"])
    recursive = R.random() < .25
    over = "[[1,[2]],[3],[]]" if recursive else R.choice(["[1,2,3]", "range(4)", "'ab'", "[]", "ctx", "messages", "[3,3,2]"])
    s = tag("for %s in %s%s%s" % (R.choice(["x", "x", "a", "b"]), over,
                                  " if " + condition_of if R.random() < .35 else "", " recursive" if recursive else ""))
    s += statements(depth - 1)
    if recursive:
        s += show("loop(x) if x is iterable and x is not string") + show("loop.depth")
    if R.random() < .3:
        s += tag("if " + R.choice(["loop.index == 2", "x == 2", "loop.last"])) + tag(R.choice(["break", "continue"])) + tag("endif")
    if R.random() < .2:
        s += tag("set a") + gap() + printed() + R.choice(["", tag("break"), tag("continue")]) + tag("endset")
    if R.random() < .35:
        s += tag("else") + statements(depth - 1)
    return s + tag("endfor")


def macro(depth):
    params = R.choice(["", "a", "a, b=1", "a=a, b=b", "x=ns.v", "a, caller=none", "c=ctx, k=c"])
    s = tag("macro f(%s)" % params) + statements(depth - 1)
    s += R.choice(["", show("caller()"), show("kwargs|string"), show("varargs|string"), show("caller is defined")]) + tag("endmacro")
    call = "f(%s)" % R.choice(["", "1", "1, 2", "b=2", "a=1", "'z', b='w'", "ctx", "*[1]", "**{'a': 7}", "1,2,3", "q=1"])
    if R.random() < .4:
        return s + tag("call%s %s" % (R.choice(["", "(u=3)"]), call)) + statements(depth - 1) + tag("endcall")
    return s + show(call)


def statement(depth):
    r = R.random()
    if depth <= 0 or r < .25:
        return printed()
    if r < .38:
        return tag("set %s = %s" % (R.choice(SLOTS), value()))
    if r < .45:
        return tag("set ns.%s = %s" % (R.choice("vw"), R.choice(["ns.v ~ 1", "[ns.v]", value()])))
    if r < .57:
        s = tag("if " + condition()) + statements(depth - 1)
        for _ in range(R.choice([0, 0, 1])):
            s += tag("elif " + condition()) + statements(depth - 1)
        return s + (tag("else") + statements(depth - 1) if R.random() < .5 else "") + tag("endif")
    if r < .73:
        return for_loop(depth)
    if r < .79:
        return tag("set " + R.choice(SLOTS) + R.choice(["", "|upper", "|trim|replace('a','b')"])) + statements(depth - 1) + tag("endset")
    if r < .82:
        return tag("filter " + R.choice(["upper", "trim", "indent(1)"])) + statements(depth - 1) + tag("endfilter")
    if r < .86:
        return tag("with %s = %s, %s = %s" % (R.choice(SLOTS), value(), R.choice(SLOTS), value())) + statements(depth - 1) + tag("endwith")
    if r < .94:
        return macro(depth)
    if r < .96:
        return tag("generation") + statements(depth - 1) + tag("endgeneration")
    if r < .98:
        return "{#" + R.choice(["", "-", "+"]) + R.choice([" c ", "\n"]) + R.choice(["", "-", "+"]) + "#}"
    return tag("raw") + R.choice(["{{ a }}", "\n {% if %}", "{# x #}"]) + tag("endraw")


# ---- numbers and formats ----


def number():
    return R.choice("0 1 -1 7 -7 42 1000 123456 0.5 -0.5 1.5 2.675 1e10 1e-7 123.456 -0.0 true 0.1 99.95 1e300".split())


def numeric():
    texts = ["'Hello'", "''", "'\u00e9\u4f60\U0001f642x'", "'  a b  '", "'AbC dEf'", "'\\n\\ttab'", "'\u03a3\u0391\u03a3 \u03a3\u0391.\u03a3'", "'\ufb01x \u0149 \u01c6'"]
    r = R.random()
    if r < .25:
        f = ["%" + R.choice(["", "", "-", "0", "+", " ", "#"]) + R.choice(["", "5", "12"]) + R.choice(["", "", ".0", ".2"]) +
             R.choice("sdifgeExXorcGFu%") for _ in range(2)]
        return "'[%s|%s]' %% (%s, %s)" % (f[0], f[1], R.choice([number(), R.choice(texts)]), number())
    if r < .5:
        f = R.choice(["", "", "*<", ">", "^"]) + R.choice(["", "", "+"]) + R.choice(["", "0"]) + R.choice(["", "5", "10"]) + \
            R.choice(["", "d", "f", ".1f", "s", "x", "e", ".3g", "%", "b"])
        return "'<{:%s}>'.format(%s)" % (f, R.choice([number(), number(), R.choice(texts)]))
    if r < .65:
        return "%s|round(%s%s)" % (number(), R.choice(["0", "1", "2", "-1", "-2"]), R.choice(["", "", ",'ceil'", ",'floor'"]))
    if r < .75:
        return "(%s) %s (%s)" % (number(), R.choice("+ - * / // % < == >= ~".split()), number())
    if r < .85:
        return "%s[%s:%s%s]" % (R.choice(texts[:3] + ["l", "t", "s"]), R.choice(["", "0", "1", "-1", "-3", "9"]),
                                R.choice(["", "0", "-1", "3", "-9"]), R.choice(["", ":1", ":2", ":-1", ":-2"]))
    literals = ["'12'", "' 12 '", "'1_000'", "'0x1f'", "'1.5'", "'1e3'", "'abc'", "''", "'-7'", "'\u0663\u0664'", "'nan'", number()]
    return "%s|%s" % (R.choice(literals), R.choice(["int", "int(9)", "float", "int(0,16)", "int(base=2)", "string", "abs"]))


MESSAGES = [[{"role": "user", "content": "Hello"}],
            [{"role": "system", "content": "Be <b> & \"q\".\n"}, {"role": "user", "content": " Hi there! ", "name": "bob"},
             {"role": "assistant", "content": "\u00e9 \u4f60\u597d\U0001f642 don't"}, {"role": "user", "content": None, "n": 3}],
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]},
             {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": {"z": 1, "a": 2.5}}], "reasoning": "why"}]]


def make(kind):
    if kind == 1:
        template = '{% set ns = namespace(v=1, w="w") %}' + statements(R.randint(1, 3)) + R.choice(["", "\n", "\r\n"])
    else:
        template = PREAMBLE + "{{ " + (expression(4) if kind == 0 else numeric()) + " }}"
    return {"template": template, "messages": R.choice(MESSAGES), "tools": R.choice([None, [{"name": "t1", "p": {"x": 1}}]]),
            "tokens": {"bos_token": "<s>", "ctx": R.choice([[1, 2], "CT"])}, "now": int((NOW - EPOCH).total_seconds())}


def stop(*_):
    raise TimeoutError


def main():
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, stop)
    R.seed(int(sys.argv[1]))
    wanted, n_errors, n = int(sys.argv[2]), 0, 0
    while n < wanted:
        case = make(n % 3)
        if len(case["template"]) > 700:
            continue
        signal.alarm(5)
        try:
            case["text"] = render(case)
        except TimeoutError:
            continue
        except Exception:  # pylint: disable=broad-except
            case["text"] = None
        finally:
            signal.alarm(0)
        if case["text"] is None:
            if 5 * n_errors > n or "loop" in case["template"]:
                continue
            n_errors += 1
        elif re.search(r"0x[0-9a-f]{6,}|object at|<Macro|<function|<b[ou]|<gen|jinja2\.|\d{17}|-0\.0j", case["text"]):
            continue
        if re.search(r"\d\)?\[|%u", case["template"].replace(PREAMBLE, "")):  # constants that jinja2 folds in its own way
            continue
        print(json.dumps(case))
        n += 1


main()
