/* api.c - the one exported function and the table behind it.
 *
 * p4c_image and p4c_data are this artifact's own: the linker places them.  That each object is of
 * this artifact's table is what p4c.h's inline functions see to. */
#include "runtime/eval.h"
#include "runtime/generate.h"
#include "runtime/load.h"
#include "runtime/model.h"
#include "runtime/session.h"
#include "runtime/text.h"

static p4c_status open_own(const p4c_open_params *params, p4c_model **model, p4c_error *error);

static const p4c_api TABLE = {
    .version = P4C_API_VERSION,
    .size = sizeof(p4c_api),
    .open = open_own,
    .close = rt_model_drop,
    .get_info = rt_model_info,
    .get_section = rt_model_section,
    .free = rt_model_free,
    .tokenize = rt_model_tokenize,
    .detokenize = rt_model_detokenize,
    .render_chat = rt_model_render_chat,
    .stream_open = rt_stream_open,
    .stream_add = rt_stream_add,
    .stream_end = rt_stream_end,
    .stream_close = rt_stream_close,
    .session_open = rt_session_open,
    .session_fork = rt_session_fork,
    .session_truncate = rt_session_truncate,
    .session_ids = rt_session_ids,
    .session_close = rt_session_close,
    .cancel = rt_session_cancel,
    .clear_cancel = rt_session_clear_cancel,
    .eval = rt_eval,
    .default_sampling = rt_default_sampling,
    .set_sampling = rt_session_set_sampling,
    .sample = rt_session_sample,
    .generate = rt_generate,
    .get_stats = rt_model_stats,
    .get_thread_units = rt_model_thread_units,
    .set_watch = rt_model_set_watch,
};

static p4c_status open_own(const p4c_open_params *params, p4c_model **model, p4c_error *error) {
    const rt_model_source source = {&p4c_image, p4c_data, RT_MAPPED};
    return rt_model_open(&source, &TABLE, params, model, error);
}

const p4c_api *p4c_get_api(uint32_t version) { return version == P4C_API_VERSION ? &TABLE : NULL; }
