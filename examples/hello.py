#!/usr/bin/env python3
"""hello.py - an artifact from Python, with ctypes alone.

    p4c compile examples/phi-tiny -o phi-tiny.so
    python3 examples/hello.py ./phi-tiny.so "Once upon a time"

The structs repeat runtime/p4c.h; the table's entries are called by their place in it.
"""
import ctypes as C
import os
import sys

API_VERSION = 1


class Error(C.Structure):
    _fields_ = [("status", C.c_int), ("text", C.c_char * 508), ("found", C.c_int64), ("limit", C.c_int64)]


class Alloc(C.Structure):
    _fields_ = [("alloc", C.c_void_p), ("free", C.c_void_p), ("ctx", C.c_void_p)]


class OpenParams(C.Structure):
    _fields_ = [("size", C.c_uint32), ("n_threads", C.c_uint32), ("cpu", C.c_char_p),
                ("kv_bytes", C.c_uint64), ("alloc", Alloc)]


class Piece(C.Structure):
    _fields_ = [("id", C.c_int32), ("text", C.POINTER(C.c_char)), ("n_bytes", C.c_size_t)]


PIECE_FN = C.CFUNCTYPE(C.c_int, C.c_void_p, C.POINTER(Piece))


class GenerateParams(C.Structure):
    _fields_ = [("size", C.c_uint32), ("ignore_eos", C.c_uint32), ("max_tokens", C.c_int64),
                ("stop", C.POINTER(C.c_char_p)), ("n_stop", C.c_size_t), ("on_piece", PIECE_FN),
                ("context", C.c_void_p)]


# p4c_api: names in order; those used here have a signature
P = C.c_void_p
ENTRIES = [
    ("open", C.CFUNCTYPE(C.c_int, C.POINTER(OpenParams), C.POINTER(P), C.POINTER(Error))),
    ("close", C.CFUNCTYPE(None, P)),
    ("get_info", P), ("get_section", P),
    ("free", C.CFUNCTYPE(None, P, P)),
    ("tokenize", C.CFUNCTYPE(C.c_int, P, C.c_char_p, C.c_size_t, C.c_uint, C.POINTER(C.POINTER(C.c_int32)),
                             C.POINTER(C.c_size_t), C.POINTER(Error))),
    ("detokenize", P), ("render_chat", P),
    ("stream_open", P), ("stream_add", P), ("stream_end", P), ("stream_close", P),
    ("session_open", C.CFUNCTYPE(C.c_int, P, C.POINTER(P), C.POINTER(Error))),
    ("session_fork", P), ("session_truncate", P), ("session_ids", P),
    ("session_close", C.CFUNCTYPE(None, P)),
    ("cancel", P), ("clear_cancel", P), ("eval", P), ("default_sampling", P), ("set_sampling", P),
    ("sample", P),
    ("generate", C.CFUNCTYPE(C.c_int, P, C.POINTER(C.c_int32), C.c_int64, C.POINTER(GenerateParams), P,
                             C.POINTER(Error))),
]


class Api(C.Structure):
    _fields_ = [("version", C.c_uint32), ("size", C.c_uint32)] + ENTRIES


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: hello.py ARTIFACT [PROMPT]")
    prompt = (sys.argv[2] if len(sys.argv) > 2 else "Once upon a time").encode()
    artifact = C.CDLL(os.path.abspath(sys.argv[1]))  # a bare name is looked for in the library path
    artifact.p4c_get_api.restype = C.POINTER(Api)
    artifact.p4c_get_api.argtypes = [C.c_uint32]
    table = artifact.p4c_get_api(API_VERSION)
    if not table:
        sys.exit("the artifact does not know this version of the API")
    api = table.contents
    error = Error()

    def check(status):
        if status:
            sys.exit(error.text.decode())

    model, session, ids, n_ids = P(), P(), C.POINTER(C.c_int32)(), C.c_size_t()
    params = OpenParams(size=C.sizeof(OpenParams))
    check(api.open(params, C.byref(model), C.byref(error)))
    check(api.tokenize(model, prompt, len(prompt), 0, C.byref(ids), C.byref(n_ids), C.byref(error)))
    check(api.session_open(model, C.byref(session), C.byref(error)))

    @PIECE_FN
    def on_piece(_context, piece):
        sys.stdout.buffer.write(C.string_at(piece.contents.text, piece.contents.n_bytes))
        sys.stdout.buffer.flush()
        return 0

    generate = GenerateParams(size=C.sizeof(GenerateParams), max_tokens=80, on_piece=on_piece)
    check(api.generate(session, ids, n_ids.value, generate, None, C.byref(error)))
    print()
    api.free(model, ids)
    api.session_close(session)
    api.close(model)


if __name__ == "__main__":
    main()
