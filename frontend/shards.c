/* shards.c - opens the files of a checkpoint and indexes their tensors. */
#include "frontend/shards.h"

#include <dirent.h>
#include <string.h>

#include "base/json.h"

enum { MAX_INDEX_BYTES = 64 << 20, MAX_SHARDS = 1024 };

typedef struct opener {
    fe_shards *s;
    const char *dir, *index_path; /* index_path: NULL without an index */
    map weight_map;               /* tensor -> number of its shard */
    arena *mem;
    diag *d;
} opener;

fe_tensor *fe_find_tensor(const fe_shards *s, const char *name) {
    const int64_t *i = map_find(&s->by_name, str_of(name));
    return i ? &s->tensor[*i] : NULL;
}

void fe_close_shards(fe_shards *s) {
    if (s) file_unmap_set(&s->set);
}

/* Maps the files, reads their headers and indexes their tensors. */
static bool open_files(opener *o, const char *const *names, int n) {
    fe_shards *s = o->s;
    if (!file_map_set(o->dir, names, n, o->mem, o->d, &s->set)) return false;
    st_file *files = arena_array(o->mem, st_file, n);
    size_t n_tensors = 0;
    for (int i = 0; i < n; i++) {
        const mapped_file *f = &s->set.file[i];
        if (!st_read(f->at, f->n_bytes, f->path, o->mem, o->d, &files[i])) return false;
        n_tensors += files[i].n_tensors;
    }
    s->tensor = arena_array(o->mem, fe_tensor, n_tensors);
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < files[i].n_tensors; k++) {
            const st_tensor *t = &files[i].tensor[k];
            const mapped_file *f = &s->set.file[i];
            const int64_t *shard = map_find(&o->weight_map, str_of(t->name));
            if (o->index_path && (!shard || *shard != i))
                return diag_error(o->d, DIAG_INDEX_SHARD,
                                  (diag_loc){.file = f->path, .tensor = t->name},
                                  "%s does not place it in this shard", path_base(o->index_path));
            /* new: a header has no duplicates, and the index places a name in one shard */
            map_add(&s->by_name, str_of(t->name), (int64_t)s->n_tensors);
            ir_range range = t->range;
            range.offset += (uint64_t)(f->at - s->set.at);
            s->tensor[s->n_tensors++] = (fe_tensor){.st = t, .path = f->path, .range = range};
        }
    return true;
}

static bool index_error(const opener *o, const char *tensor, const char *what) {
    return diag_error(o->d, DIAG_INDEX, (diag_loc){.file = o->index_path, .tensor = tensor}, "%s",
                      what);
}

/* Every tensor of the index must have been found in its shard. */
static bool check_all_found(const opener *o, const cJSON *weight_map) {
    const cJSON *e;
    cJSON_ArrayForEach(e, weight_map) {
        if (fe_find_tensor(o->s, e->string)) continue;
        return diag_error(o->d, DIAG_INDEX_SHARD,
                          (diag_loc){.file = o->index_path, .tensor = e->string},
                          "it is not found in its shard '%s'", e->valuestring);
    }
    return true;
}

static bool is_beside(const char *name) {
    return *name && !strchr(name, '/') && strcmp(name, "..") != 0 && strcmp(name, ".") != 0;
}

static bool open_indexed(opener *o, const cJSON *root) {
    const cJSON *weight_map = cJSON_IsObject(root) ? json_member(root, "weight_map") : NULL;
    if (!cJSON_IsObject(weight_map))
        return index_error(o, NULL, "'weight_map' is missing or no object");
    map shard_of = {.mem = o->mem}; /* file name -> number */
    vec(const char *) names = {0};
    const cJSON *e;
    cJSON_ArrayForEach(e, weight_map) {
        if (!cJSON_IsString(e))
            return index_error(o, e->string, "its entry in 'weight_map' is no file name");
        const char *name = e->valuestring;
        if (!is_beside(name))
            return diag_error(
                o->d, DIAG_INDEX, (diag_loc){.file = o->index_path, .tensor = e->string},
                "the path '%s' leads outside the folder (expected a file name beside the index)",
                name);
        if (map_add(&shard_of, str_of(name), (int64_t)names.n)) vec_push(o->mem, &names, name);
        if (names.n > MAX_SHARDS) return index_error(o, NULL, "more than 1024 shards");
        map_add(&o->weight_map, str_of(e->string), *map_find(&shard_of, str_of(name)));
    }
    return open_files(o, names.at, (int)names.n) && check_all_found(o, weight_map);
}

static bool open_index(opener *o, str source) {
    json j;
    if (!json_parse(source, o->index_path, o->mem, o->d, &j)) return false;
    const bool ok = open_indexed(o, j.root);
    json_free(&j);
    return ok;
}

/* No safetensors: says what is there instead. */
static bool no_weights(const opener *o) {
    static const char *const OTHERS[] = {".bin",  ".pt",   ".pth",    ".ckpt",
                                         ".gguf", ".onnx", ".msgpack"};
    DIR *dir = opendir(o->dir);
    const char *found = NULL;
    for (struct dirent *e; dir && !found && (e = readdir(dir));)
        for (size_t i = 0; i < COUNT_OF(OTHERS); i++)
            if (str_ends(str_of(e->d_name), OTHERS[i])) found = arena_strdup(o->mem, e->d_name);
    if (dir) closedir(dir);
    if (found)
        return diag_error(o->d, DIAG_WEIGHTS_FORMAT, (diag_loc){.file = o->dir},
                          "no model.safetensors (found %s, which is never read)", found);
    return diag_error(o->d, DIAG_WEIGHTS_MISSING, (diag_loc){.file = o->dir},
                      "no model.safetensors and no model.safetensors.index.json");
}

static opener opener_of(const char *dir, arena *mem, diag *d) {
    opener o = {.dir = dir, .mem = mem, .d = d, .s = arena_new(mem, fe_shards)};
    o.s->by_name.mem = o.weight_map.mem = mem;
    return o;
}

static fe_shards *done(opener *o, bool ok) {
    if (ok) return o->s;
    fe_close_shards(o->s);
    return NULL;
}

fe_shards *fe_open_indexed(const char *dir, const char *index_path, str index, arena *mem,
                           diag *d) {
    opener o = opener_of(dir, mem, d);
    o.s->path = o.index_path = index_path;
    return done(&o, open_index(&o, index));
}

fe_shards *fe_open_shards(const char *dir, arena *mem, diag *d) {
    opener o = opener_of(dir, mem, d);
    const char *index_path = path_join(mem, dir, "model.safetensors.index.json");
    str index;
    o.s->path = path_join(mem, dir, "model.safetensors");
    if (file_exists(o.s->path))
        return done(&o, open_files(&o, (const char *const[]){"model.safetensors"}, 1));
    if (!file_exists(index_path)) return done(&o, no_weights(&o));
    if (!file_read(index_path, MAX_INDEX_BYTES, mem, d, &index)) return done(&o, false);
    return fe_open_indexed(dir, index_path, index, mem, d);
}
