/* hello.c - the shortest use of an artifact: a prompt in, text out.
 *
 *     p4c compile examples/phi-tiny -o phi-tiny.so
 *     cc -Iruntime examples/hello.c ./phi-tiny.so -Wl,-rpath,'$ORIGIN' -o hello
 *     ./hello "Once upon a time"
 */
#include <stdio.h>
#include <string.h>

#include "p4c.h"

static int on_piece(void *context, const p4c_piece *piece) {
    (void)context;
    fwrite(piece->text, 1, piece->n_bytes, stdout);
    fflush(stdout);
    return 0; /* go on */
}

int main(int argc, char **argv) {
    const char *prompt = argc > 1 ? argv[1] : "Once upon a time, there was a little dog who";
    const p4c_api *api = p4c_get_api(P4C_API_VERSION);
    if (!api) return fprintf(stderr, "the artifact does not know this version of p4c.h\n"), 1;

    p4c_error error;
    p4c_model *model = NULL;
    p4c_session *session = NULL;
    int32_t *ids = NULL;
    size_t n_ids;
    const p4c_open_params open = p4c_default_open_params();
    p4c_generate_params generate = p4c_default_generate_params();
    generate.max_tokens = 80;
    generate.on_piece = on_piece;

    p4c_status status = p4c_open(api, &open, &model, &error);
    if (status == P4C_OK)
        status = p4c_tokenize(model, prompt, strlen(prompt), 0, &ids, &n_ids, &error);
    if (status == P4C_OK) status = p4c_session_open(model, &session, &error);
    if (status == P4C_OK)
        status = p4c_generate(session, ids, (int64_t)n_ids, &generate, NULL, &error);
    if (status == P4C_OK) puts("");
    else fprintf(stderr, "hello: %s\n", error.text);

    if (model) p4c_free(model, ids);
    p4c_session_close(session);
    p4c_close(model);
    return p4c_status_exit(status);
}
