/* fake_image.c - stands for the object with the kernels, in tests of the artifact's form. */
#include "runtime/abi.h"

static void store_number(const rt_step *step, void *const *operand, int64_t n, int64_t begin,
                         int64_t end, void *scratch) {
    (void)step, (void)begin, (void)end, (void)scratch;
    *(int64_t *)operand[0] = n;
}

static const rt_kernel_entry KERNELS[] = {{store_number, 1, 0}};
static const rt_variant VARIANTS[] = {{"any", 0, KERNELS}};
const rt_image p4c_image = {RT_ABI, 1, VARIANTS};
