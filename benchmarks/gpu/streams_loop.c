/* The smallest program that keeps N streams busy with captured CUDA graphs: what the harness's loop
 * is held against. Each slot copies one of the inputs to the device, launches its graph, copies the
 * output back and records an event; one thread asks the events in turn, as `trtexec --streams` does.
 *
 *     nvcc -O2 -shared -Xcompiler -fPIC -o streams_loop.so streams_loop.c
 */
#include <cuda.h>
#include <stdint.h>
#include <time.h>

typedef struct {
    CUstream stream;
    CUgraphExec graph;
    CUdeviceptr input;
    CUdeviceptr output;
    void *host_output;
    uint64_t input_bytes;
    uint64_t output_bytes;
} Slot;

#define MOST 256

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int begin(const Slot *slot, const void *input, CUevent event) {
    int error = cuMemcpyHtoDAsync(slot->input, input, slot->input_bytes, slot->stream);
    if (!error) error = cuGraphLaunch(slot->graph, slot->stream);
    if (!error) error = cuMemcpyDtoHAsync(slot->host_output, slot->output, slot->output_bytes,
                                          slot->stream);
    return error ? error : (int)cuEventRecord(event, slot->stream);
}

/* Runs for `warm_ns`, then counts for `window_ns`. `latencies` takes up to `room` of the window's
 * requests. Returns the requests that ended in the window, or minus CUDA's error. */
int64_t run(const Slot *slots, int count, void *const *inputs, int kinds, int64_t warm_ns,
            int64_t window_ns, int64_t *latencies, int64_t room) {
    CUevent events[MOST];
    int64_t sent[MOST], done = 0;
    int next = 0, error = 0;
    if (count > MOST) return -1;
    for (int i = 0; i < count && !error; i++) {
        error = cuEventCreate(&events[i], CU_EVENT_DISABLE_TIMING);
    }
    int64_t from = now() + warm_ns, until = from + window_ns;
    for (int i = 0; i < count && !error; i++) {
        sent[i] = now();
        error = begin(&slots[i], inputs[next++ % kinds], events[i]);
    }
    for (int i = 0; !error; i = (i + 1) % count) {
        CUresult state = cuEventQuery(events[i]);
        if (state == CUDA_ERROR_NOT_READY) continue;
        error = state;
        int64_t moment = now();
        if (moment > until) break;
        if (moment > from) {
            if (done < room) latencies[done] = moment - sent[i];
            done++;
        }
        sent[i] = moment;
        if (!error) error = begin(&slots[i], inputs[next++ % kinds], events[i]);
    }
    for (int i = 0; i < count; i++) {
        cuStreamSynchronize(slots[i].stream);
        cuEventDestroy(events[i]);
    }
    return error ? -(int64_t)error : done;
}
