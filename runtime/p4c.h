/* p4c.h - C API of a compiled model.  Valid as C11 and as C++11; needs status.def beside it.
 *
 *     const p4c_api *api = p4c_get_api(P4C_API_VERSION);      linked, or looked up by dlsym
 *     p4c_open_params params = p4c_default_open_params();
 *     p4c_error error;
 *     p4c_model *model;
 *     if (p4c_open(api, &params, &model, &error) != P4C_OK) return fail(error.text);
 *     p4c_session *session;
 *     ... p4c_session_open(model, &session, &error), p4c_generate(session, ...) ...
 *     p4c_session_close(session);
 *     p4c_close(model);
 *
 * An artifact exports one function, p4c_get_api; everything else is reached through the table that
 * it returns.  The inline functions below wrap the table: objects know the artifact they came from,
 * so that several artifacts can live in one process (each compiled with its own --name N, which
 * also exports N_get_api, or loaded with dlopen).
 *
 * Conventions
 *   Errors     Calls that can fail return a p4c_status.  `error` may be NULL; if it is not, it is
 *              filled where the status is not P4C_OK and left alone otherwise.  A failed call
 *              changes nothing and sets no output.  Nothing is global.
 *   Sizes      n_bytes counts bytes, n_ids tokens.  Lengths and positions are in tokens.  Times are
 *              in nanoseconds.  Text is UTF-8; a terminating NUL is written but not counted.
 *   Ownership  What a call hands out through `T **` of plain data (text, ids) is released with
 *              p4c_free; objects with the close call of their kind.  Pointers passed in are not
 *              kept after the call, except where said.
 *   Threads    A model may be used by any number of threads at once; evaluations queue.  A session
 *              or text stream belongs to one thread at a time; only p4c_cancel may be called on a
 *              session that another thread is using.
 *   Numbers    Results do not depend on the number of threads, on what else is evaluated in the
 *              same call, or on how a sequence is cut into calls.
 */
#ifndef P4C_RUNTIME_P4C_H
#define P4C_RUNTIME_P4C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define P4C_API_VERSION 1u

/* ---- status and error ---- */

typedef enum p4c_status {
#define STATUS(name, number, exit_status, text) P4C_##name = number,
#include "status.def"
#undef STATUS
    P4C_STATUS_MAX_ = 0x7fffffff
} p4c_status;

typedef struct p4c_error {
    p4c_status status;
    char text[508];       /* one line, no newline, always terminated */
    int64_t found, limit; /* where the message names two numbers, else 0.  ERR_TOO_LONG: tokens the
                             sequence would have, tokens it may have.  ERR_KV_FULL: blocks wanted,
                             blocks left */
} p4c_error;

/* The general text of a status, e.g. "out of memory". */
static inline const char *p4c_status_text(p4c_status status) {
    switch (status) {
#define STATUS(name, number, exit_status, text)                                                    \
    case P4C_##name:                                                                               \
        return text;
#include "status.def"
#undef STATUS
    default:
        return "unknown status";
    }
}
/* The status that p4c's own programs exit with. */
static inline int p4c_status_exit(p4c_status status) {
    switch (status) {
#define STATUS(name, number, exit_status, text)                                                    \
    case P4C_##name:                                                                               \
        return exit_status;
#include "status.def"
#undef STATUS
    default:
        return 7;
    }
}

/* ---- objects ---- */

typedef struct p4c_api p4c_api;
typedef struct p4c_model p4c_model;     /* immutable but for its KV blocks; one thread pool */
typedef struct p4c_session p4c_session; /* one sequence: token ids, KV blocks, sampler */
typedef struct p4c_stream p4c_stream;   /* ids in, whole UTF-8 characters out */

/* Where the runtime gets its own memory (not KV blocks and work space, which are mapped).  Called
 * from any thread. */
typedef struct p4c_alloc {
    void *(*alloc)(void *ctx, size_t n_bytes); /* > 0, aligned for any type; NULL: none left */
    void (*free)(void *ctx, void *p);          /* never NULL */
    void *ctx;
} p4c_alloc;

typedef struct p4c_open_params {
    uint32_t size;      /* sizeof(p4c_open_params) */
    uint32_t n_threads; /* 0: the CPUs that the process may use; at most 1024 */
    const char *cpu;    /* name of a variant (p4c_info.cpu); NULL: the best one that runs here */
    uint64_t kv_bytes;  /* bound on KV memory, 0: as much as max_batch sequences of full length
                           need; taken from the system only as sequences grow */
    p4c_alloc alloc;    /* all NULL: malloc and free */
} p4c_open_params;

static inline p4c_open_params p4c_default_open_params(void) {
    p4c_open_params p;
    memset(&p, 0, sizeof p);
    p.size = (uint32_t)sizeof p;
    return p;
}

/* ---- what a model is ---- */

typedef struct p4c_info {
    uint32_t size; /* sizeof(p4c_info), set by the caller */
    uint32_t n_layers, n_heads, n_kv_heads, head_dim, hidden, ffn;
    uint32_t vocab;         /* ids are 0 .. vocab - 1; floats in a row of logits */
    uint32_t max_seq_tok;   /* tokens in a sequence at most */
    uint32_t model_max_tok; /* what the checkpoint allows */
    uint32_t max_batch;     /* sequences in a step at most */
    uint32_t max_step_tok;  /* tokens in a step at most */
    uint32_t max_step_rows; /* rows of logits in a step at most */
    uint32_t n_stops;       /* end tokens */
    int32_t stop[16];
    int32_t bos; /* -1: none */
    uint32_t has_tokenizer, has_template;
    uint32_t dummy; /* weights are made up */
    uint32_t n_threads;
    uint32_t kv_f32;         /* 1: keys and values are float32, 0: bfloat16 */
    uint32_t n_launches;     /* of one step */
    uint64_t kv_block_bytes; /* KV memory of 256 positions, all layers */
    uint64_t kv_blocks;      /* blocks under the bound */
    uint64_t weight_bytes_per_token, mac_per_token, head_mac; /* for limits, see p4c bench */
    char model_type[32], name[96], quant[32];
    char cpu[32];     /* variant in use, e.g. "avx512vnni" */
    char version[32]; /* of the p4c that compiled it */
} p4c_info;

/* ---- sampling ---- */

typedef struct p4c_sampling {
    uint32_t do_sample;       /* 0: greedy; only repetition_penalty counts then */
    uint32_t top_k;           /* 0: off */
    float temperature;        /* > 0 */
    float top_p;              /* 0 < top_p; 1 and more: off */
    float min_p;              /* 0 .. 1; 0: off */
    float repetition_penalty; /* > 0; 1: off.  Over all tokens of the session */
    uint64_t seed;
} p4c_sampling;

/* ---- evaluation ---- */

typedef enum p4c_logits {
    P4C_LOGITS_NONE = 0,
    P4C_LOGITS_LAST = 1, /* out: float[vocab], after the last new token */
    P4C_LOGITS_ALL = 2   /* out: float[n_ids][vocab] */
} p4c_logits;

/* New tokens for one session. */
typedef struct p4c_item {
    p4c_session *session;
    const int32_t *ids; /* [n_ids], each 0 .. vocab - 1 */
    int64_t n_ids;      /* > 0 */
    p4c_logits logits;
    float *out;             /* NULL with P4C_LOGITS_NONE */
    int64_t n_out;          /* floats that out has room for */
    int64_t expected_total; /* tokens that the sequence will have in the end, 0: not known.  Saves
                               models whose position coding depends on it a second evaluation */
} p4c_item;

/* ---- text ---- */

enum {
    P4C_PARSE_SPECIAL = 1, /* tokenize: text of special tokens means these tokens */
    P4C_SKIP_SPECIAL = 2   /* detokenize, stream: special tokens give no text */
};

/* A chat as the model reads it. */
typedef struct p4c_chat {
    char *text;
    size_t n_bytes;
    int32_t
        *ids; /* special tokens stand only where the template wrote them, never from a message */
    size_t n_ids;
} p4c_chat;

/* ---- generation ---- */

typedef enum p4c_finish {
    P4C_FINISH_STOP_TOKEN = 0,
    P4C_FINISH_STOP_STRING = 1,
    P4C_FINISH_MAX_TOKENS = 2,
    P4C_FINISH_CAPACITY = 3, /* prompt and new tokens fill the sequence */
    P4C_FINISH_CALLBACK = 4  /* the callback said so */
} p4c_finish;

/* What a generated token adds.  Text is whole UTF-8 characters without special tokens; it may be
 * empty (the token is part of a character or of a possible stop string) and may hold text of
 * earlier tokens.  A last call with id -1 gives what was held back. */
typedef struct p4c_piece {
    int32_t id;
    const char *text; /* not terminated; valid during the call */
    size_t n_bytes;
} p4c_piece;

/* Returns 0 to go on, anything else to end. */
typedef int p4c_piece_fn(void *context, const p4c_piece *piece);

typedef struct p4c_generate_params {
    uint32_t size;           /* sizeof(p4c_generate_params) */
    uint32_t ignore_eos;     /* 1: end tokens do not end it (and give no text) */
    int64_t max_tokens;      /* new tokens at most; -1: until a stop or the sequence is full */
    const char *const *stop; /* texts that end it, none empty; never part of the output */
    size_t n_stop;           /* at most 64 */
    p4c_piece_fn *on_piece;  /* may be NULL */
    void *context;
} p4c_generate_params;

static inline p4c_generate_params p4c_default_generate_params(void) {
    p4c_generate_params p;
    memset(&p, 0, sizeof p);
    p.size = (uint32_t)sizeof p;
    p.max_tokens = -1;
    return p;
}

typedef struct p4c_generated {
    p4c_finish finish;
    int32_t stop_id;         /* the end token; -1: another finish.  Not given to the callback */
    int32_t stop_string;     /* index of the stop string, -1: another finish */
    int64_t n_prompt, n_new; /* tokens; n_new does not count the end token */
    uint64_t prompt_ns;      /* until the first new token was known */
    uint64_t new_ns;         /* from there to the end */
} p4c_generated;

/* ---- counters and watching ---- */

typedef struct p4c_stats {
    uint32_t size; /* sizeof(p4c_stats), set by the caller */
    uint32_t n_threads;
    uint64_t n_evals, n_steps, n_tokens, n_rows; /* since open; evaluations that failed included */
    uint64_t eval_ns;
    uint64_t kv_blocks_used, kv_blocks_peak; /* now, at most so far */
    uint64_t n_sessions;                     /* open now */
} p4c_stats;

/* One launch of the plan, just done. */
typedef struct p4c_launch {
    uint32_t index;   /* in the plan */
    uint32_t op;      /* %id of the op in section "ir" */
    uint32_t operand; /* which operand the result is; 8: none, KV blocks alone */
    uint32_t kernel;  /* row of the kernel table that ran */
    int64_t n;        /* tokens, or rows of logits, that it covered */
    int64_t n_units;  /* work units */
    uint64_t ns;
    const void *result; /* as the op's type says, for n tokens; NULL: KV blocks.  Valid during the
                           call, as later launches reuse the memory */
} p4c_launch;
/* Called on the evaluating thread after each launch, with all threads waiting.  Must not call the
 * model or its sessions. */
typedef void p4c_watch_fn(void *context, const p4c_launch *launch);

/* ---- the table ---- */

struct p4c_api {
    uint32_t version; /* P4C_API_VERSION of the artifact */
    uint32_t size;    /* of this table: newer artifacts of one version only add at the end */

    p4c_status (*open)(const p4c_open_params *params, p4c_model **model, p4c_error *error);
    void (*close)(p4c_model *model);
    p4c_status (*get_info)(const p4c_model *model, p4c_info *info, p4c_error *error);
    p4c_status (*get_section)(const p4c_model *model, const char *name, const void **data,
                              size_t *n_bytes, p4c_error *error);
    void (*free)(const p4c_model *model, void *p);

    p4c_status (*tokenize)(const p4c_model *model, const char *text, size_t n_bytes, unsigned flags,
                           int32_t **ids, size_t *n_ids, p4c_error *error);
    p4c_status (*detokenize)(const p4c_model *model, const int32_t *ids, size_t n_ids,
                             unsigned flags, char **text, size_t *n_bytes, p4c_error *error);
    p4c_status (*render_chat)(const p4c_model *model, const char *chat_json, size_t n_bytes,
                              p4c_chat *chat, p4c_error *error);
    p4c_status (*stream_open)(const p4c_model *model, unsigned flags, p4c_stream **stream,
                              p4c_error *error);
    p4c_status (*stream_add)(p4c_stream *stream, int32_t id, const char **text, size_t *n_bytes,
                             p4c_error *error);
    p4c_status (*stream_end)(p4c_stream *stream, const char **text, size_t *n_bytes,
                             p4c_error *error);
    void (*stream_close)(p4c_stream *stream);

    p4c_status (*session_open)(p4c_model *model, p4c_session **session, p4c_error *error);
    p4c_status (*session_fork)(const p4c_session *session, p4c_session **fork, p4c_error *error);
    p4c_status (*session_truncate)(p4c_session *session, int64_t n_tokens, p4c_error *error);
    const int32_t *(*session_ids)(const p4c_session *session, int64_t *n_ids);
    void (*session_close)(p4c_session *session);
    void (*cancel)(p4c_session *session);
    void (*clear_cancel)(p4c_session *session);

    p4c_status (*eval)(p4c_model *model, const p4c_item *items, size_t n_items, p4c_error *error);
    p4c_status (*default_sampling)(const p4c_model *model, p4c_sampling *sampling);
    p4c_status (*set_sampling)(p4c_session *session, const p4c_sampling *sampling,
                               p4c_error *error);
    p4c_status (*sample)(p4c_session *session, const float *logits, int64_t n_logits, int32_t *id,
                         p4c_error *error);
    p4c_status (*generate)(p4c_session *session, const int32_t *ids, int64_t n_ids,
                           const p4c_generate_params *params, p4c_generated *generated,
                           p4c_error *error);

    p4c_status (*get_stats)(const p4c_model *model, p4c_stats *stats, p4c_error *error);
    uint32_t (*get_thread_units)(const p4c_model *model, uint64_t *units, uint32_t n);
    p4c_status (*set_watch)(p4c_model *model, p4c_watch_fn *watch, void *context, p4c_error *error);
};

#if defined(__GNUC__)
#define P4C_EXPORT __attribute__((visibility("default")))
#else
#define P4C_EXPORT
#endif
/* The artifact's table; NULL where it does not know this version. */
P4C_EXPORT const p4c_api *p4c_get_api(uint32_t version);
typedef const p4c_api *p4c_get_api_fn(uint32_t version);

/* ---- inline wrappers ---- */

/* Each object starts with a pointer to its artifact's table. */
static inline const p4c_api *p4c_api_of(const void *object) {
    return *(const p4c_api *const *)object;
}

/* Opens the artifact that `api` belongs to: picks the code for this processor, starts the threads.
 * ERR_BAD_ARTIFACT, ERR_NO_CPU, ERR_NO_MEMORY, ERR_SYSTEM; ERR_ARGUMENT: params. */
static inline p4c_status p4c_open(const p4c_api *api, const p4c_open_params *params,
                                  p4c_model **model, p4c_error *error) {
    return api->open(params, model, error);
}
/* Its sessions and streams keep the model alive until they are closed too.  NULL is allowed. */
static inline void p4c_close(p4c_model *model) {
    if (model) p4c_api_of(model)->close(model);
}
/* info->size must be set. */
static inline p4c_status p4c_get_info(const p4c_model *model, p4c_info *info, p4c_error *error) {
    return p4c_api_of(model)->get_info(model, info, error);
}
/* A section of the artifact as stored, valid as long as the artifact is loaded: "config" (JSON),
 * "options" (JSON), "ir" (text), ...; not terminated.  ERR_NOT_THERE. */
static inline p4c_status p4c_get_section(const p4c_model *model, const char *name,
                                         const void **data, size_t *n_bytes, p4c_error *error) {
    return p4c_api_of(model)->get_section(model, name, data, n_bytes, error);
}
/* Releases text and ids that calls on this model handed out.  NULL is allowed. */
static inline void p4c_free(const p4c_model *model, void *p) { p4c_api_of(model)->free(model, p); }

/* Text to ids.  flags: P4C_PARSE_SPECIAL.  Any bytes are accepted.  *ids is never NULL. */
static inline p4c_status p4c_tokenize(const p4c_model *model, const char *utf8, size_t n_bytes,
                                      unsigned flags, int32_t **ids, size_t *n_ids,
                                      p4c_error *error) {
    return p4c_api_of(model)->tokenize(model, utf8, n_bytes, flags, ids, n_ids, error);
}
/* Ids to text.  flags: P4C_SKIP_SPECIAL.  Bytes that are no UTF-8 become U+FFFD. */
static inline p4c_status p4c_detokenize(const p4c_model *model, const int32_t *ids, size_t n_ids,
                                        unsigned flags, char **utf8, size_t *n_bytes,
                                        p4c_error *error) {
    return p4c_api_of(model)->detokenize(model, ids, n_ids, flags, utf8, n_bytes, error);
}
/* Renders {"messages": [...], "tools": [...]?, "add_generation_prompt": bool? (default true)}, or
 * the list of messages alone, with the model's chat template.  Release chat->text and chat->ids
 * with p4c_free.  ERR_NO_TEMPLATE; ERR_BAD_INPUT: not JSON, or refused by the template, or no
 * message. */
static inline p4c_status p4c_render_chat(const p4c_model *model, const char *chat_json,
                                         size_t n_bytes, p4c_chat *chat, p4c_error *error) {
    return p4c_api_of(model)->render_chat(model, chat_json, n_bytes, chat, error);
}
/* Streaming detokenizer: each call gives the whole characters known so far, valid until the next
 * call on the stream. */
static inline p4c_status p4c_stream_open(const p4c_model *model, unsigned flags,
                                         p4c_stream **stream, p4c_error *error) {
    return p4c_api_of(model)->stream_open(model, flags, stream, error);
}
static inline p4c_status p4c_stream_add(p4c_stream *stream, int32_t id, const char **utf8,
                                        size_t *n_bytes, p4c_error *error) {
    return p4c_api_of(stream)->stream_add(stream, id, utf8, n_bytes, error);
}
/* What is left; an unfinished character becomes U+FFFD.  The stream can then start anew. */
static inline p4c_status p4c_stream_end(p4c_stream *stream, const char **utf8, size_t *n_bytes,
                                        p4c_error *error) {
    return p4c_api_of(stream)->stream_end(stream, utf8, n_bytes, error);
}
static inline void p4c_stream_close(p4c_stream *stream) {
    if (stream) p4c_api_of(stream)->stream_close(stream);
}

/* An empty sequence with the model's default sampling. */
static inline p4c_status p4c_session_open(p4c_model *model, p4c_session **session,
                                          p4c_error *error) {
    return p4c_api_of(model)->session_open(model, session, error);
}
/* A second session with the same tokens, sampling and random state.  Shares the KV blocks. */
static inline p4c_status p4c_session_fork(const p4c_session *session, p4c_session **fork,
                                          p4c_error *error) {
    return p4c_api_of(session)->session_fork(session, fork, error);
}
/* Keeps the first n_tokens (0 .. the tokens it has). */
static inline p4c_status p4c_session_truncate(p4c_session *session, int64_t n_tokens,
                                              p4c_error *error) {
    return p4c_api_of(session)->session_truncate(session, n_tokens, error);
}
/* The tokens evaluated so far, valid until the session changes; n_ids may be NULL. */
static inline const int32_t *p4c_session_ids(const p4c_session *session, int64_t *n_ids) {
    return p4c_api_of(session)->session_ids(session, n_ids);
}
static inline void p4c_session_close(p4c_session *session) {
    if (session) p4c_api_of(session)->session_close(session);
}
/* Makes the evaluation or generation that runs on the session, or the next one, end with
 * ERR_CANCELLED, which also clears the wish.  From any thread and from signal handlers. */
static inline void p4c_cancel(p4c_session *session) { p4c_api_of(session)->cancel(session); }
/* Forgets a wish that came too late for the call it was meant for. */
static inline void p4c_clear_cancel(p4c_session *session) {
    p4c_api_of(session)->clear_cancel(session);
}

/* Appends each item's tokens to its session, all sessions in the same steps.  Any number of
 * sessions (each once), of any lengths; more than fit a step are cut into several.  With any status
 * but P4C_OK all sessions are as before, and what `out` holds is undefined.
 * ERR_TOO_LONG, ERR_KV_FULL, ERR_NO_MEMORY, ERR_CANCELLED (one of the sessions was). */
static inline p4c_status p4c_eval(p4c_model *model, const p4c_item *items, size_t n_items,
                                  p4c_error *error) {
    return p4c_api_of(model)->eval(model, items, n_items, error);
}
/* What the checkpoint's generation_config says, seed 0.  Cannot fail. */
static inline p4c_status p4c_default_sampling(const p4c_model *model, p4c_sampling *sampling) {
    return p4c_api_of(model)->default_sampling(model, sampling);
}
/* Also restarts the random numbers from the seed. */
static inline p4c_status p4c_set_sampling(p4c_session *session, const p4c_sampling *sampling,
                                          p4c_error *error) {
    return p4c_api_of(session)->set_sampling(session, sampling, error);
}
/* Draws the next token from a row of logits (n_logits = vocab); does not append it. */
static inline p4c_status p4c_sample(p4c_session *session, const float *logits, int64_t n_logits,
                                    int32_t *id, p4c_error *error) {
    return p4c_api_of(session)->sample(session, logits, n_logits, id, error);
}
/* Evaluates the prompt ids (> 0 of them), then draws and evaluates new tokens until an end.
 * Afterwards the session holds what was there, the prompt and the new tokens but the last, which
 * was drawn and not evaluated.  After an error it holds what was evaluated so far; what the
 * callback was given stands.  `generated` may be NULL. */
static inline p4c_status p4c_generate(p4c_session *session, const int32_t *ids, int64_t n_ids,
                                      const p4c_generate_params *params, p4c_generated *generated,
                                      p4c_error *error) {
    return p4c_api_of(session)->generate(session, ids, n_ids, params, generated, error);
}

/* stats->size must be set. */
static inline p4c_status p4c_get_stats(const p4c_model *model, p4c_stats *stats, p4c_error *error) {
    return p4c_api_of(model)->get_stats(model, stats, error);
}
/* Work units that each thread has done since open: units[0 .. n).  Returns the number of threads.
 */
static inline uint32_t p4c_get_thread_units(const p4c_model *model, uint64_t *units, uint32_t n) {
    return p4c_api_of(model)->get_thread_units(model, units, n);
}
/* NULL: none.  Waits for the evaluation that runs. */
static inline p4c_status p4c_set_watch(p4c_model *model, p4c_watch_fn *watch, void *context,
                                       p4c_error *error) {
    return p4c_api_of(model)->set_watch(model, watch, context, error);
}

#ifdef __cplusplus
}
#endif

#endif
