/* How fast a careful C loop replays a trace: the bar that the benchmarks are measured against.
 *
 *   anchor fcfs|fcfs-bare|easy|easy-inc JOBS PROCS [REPEAT [STARTS]]
 *
 * JOBS holds rows of four native int64: submit, run, limit, procs, in order of submit; a job's number is its row.
 * The rule of an instant: all ends, then all submits, then one pass; a job of zero run time opens a further round.
 * Prints the median of REPEAT runs of the loop alone; with STARTS, writes the starts (int64) there.
 *
 * fcfs      strict: nobody passes. Keeps the running jobs sorted by expected end, as `easy` does.
 * fcfs-bare the same schedule without that list, which FCFS never reads.
 * easy      each pass looks at the whole queue, until no processor is free.
 * easy-inc  the same schedule; a pass of a round without ends looks at the newcomers only. Those seen before stay
 *           refused: since then free and extra only shrank, the shadow stayed, and now + limit grew.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct { int64_t submit, run, limit, procs; } Job;
typedef struct { int64_t time; int32_t id, procs; } Entry; /* of a heap by end, or of a list by expected end */
typedef struct { int64_t limit; int32_t id, procs; } Waiting;

static const Job *jobs;
static int64_t n, total;
static int64_t *starts;
static Entry *heap, *list; /* running, by true end (a heap) and by expected end (sorted) */
static Waiting *queue;     /* [head, tail), in order of arrival */
static int64_t running, head, tail, free_procs, most_running, longest_queue;

static void heap_push(Entry e) {
    int64_t k = running++;
    for (; k > 0 && heap[(k - 1) / 2].time > e.time; k = (k - 1) / 2) heap[k] = heap[(k - 1) / 2];
    heap[k] = e;
}

static Entry heap_pop(void) {
    Entry top = heap[0], e = heap[--running];
    int64_t k = 0, child;
    while ((child = 2 * k + 1) < running) {
        if (child + 1 < running && heap[child + 1].time < heap[child].time) child++;
        if (heap[child].time >= e.time) break;
        heap[k] = heap[child];
        k = child;
    }
    heap[k] = e;
    return top;
}

/* Where (time, id) is or belongs among the first `count` of the list. */
static int64_t list_find(int64_t count, int64_t time, int32_t id) {
    int64_t low = 0, high = count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (list[middle].time < time || (list[middle].time == time && list[middle].id < id)) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void start(int32_t id, int64_t now, int sorted) {
    const Job *job = &jobs[id];
    starts[id] = now;
    free_procs -= job->procs;
    if (sorted) {
        Entry e = {now + job->limit, id, (int32_t)job->procs};
        int64_t k = list_find(running, e.time, id);
        memmove(list + k + 1, list + k, (size_t)(running - k) * sizeof *list);
        list[k] = e;
    }
    heap_push((Entry){now + job->run, id, (int32_t)job->procs});
    if (running > most_running) most_running = running;
}

static void end(int sorted) {
    Entry e = heap_pop();
    free_procs += e.procs;
    if (sorted) {
        int64_t k = list_find(running + 1, starts[e.id] + jobs[e.id].limit, e.id);
        memmove(list + k, list + k + 1, (size_t)(running - k) * sizeof *list);
    }
}

static void fcfs(int sorted) {
    for (int64_t arrived = 0; arrived < n || running;) {
        int64_t now = running && (arrived == n || heap[0].time <= jobs[arrived].submit) ? heap[0].time
                                                                                        : jobs[arrived].submit;
        while (running && heap[0].time == now) end(sorted);
        while (arrived < n && jobs[arrived].submit == now) arrived++;
        if (arrived - head > longest_queue) longest_queue = arrived - head;
        while (head < arrived && jobs[head].procs <= free_procs) start((int32_t)head++, now, sorted);
    }
}

/* Start candidates of [from, tail) that do not delay the first of the queue. */
static void backfill(int64_t from, int64_t now) {
    int64_t shadow = now, then = free_procs, need = queue[head].procs, k = 0, removed = 0, first = 0;
    while (then < need) {
        shadow = list[k].time;
        do then += list[k++].procs;
        while (k < running && list[k].time == shadow);
    }
    int64_t extra = then - need;
    for (k = from; k < tail && free_procs > 0; k++) {
        Waiting *w = &queue[k];
        if (w->procs > free_procs) continue;
        if (now + w->limit > shadow) {
            if (w->procs > extra) continue;
            extra -= w->procs;
        }
        start(w->id, now, 1);
        w->procs = 0;
        if (!removed++) first = k;
    }
    if (!removed) return;
    int64_t to;
    if (k - head <= tail - first) { /* close the gaps from the shorter side */
        for (to = k--; k >= head; k--)
            if (queue[k].procs) queue[--to] = queue[k];
        head = to;
    } else {
        for (to = k = first; k < tail; k++)
            if (queue[k].procs) queue[to++] = queue[k];
        tail = to;
    }
}

static void easy(int incremental) {
    for (int64_t arrived = 0; arrived < n || running;) {
        int64_t now = running && (arrived == n || heap[0].time <= jobs[arrived].submit) ? heap[0].time
                                                                                        : jobs[arrived].submit;
        int ended = 0;
        int64_t seen = tail;
        for (; running && heap[0].time == now; ended = 1) end(1);
        for (; arrived < n && jobs[arrived].submit == now; arrived++)
            queue[tail++] = (Waiting){jobs[arrived].limit, (int32_t)arrived, (int32_t)jobs[arrived].procs};
        if (tail - head > longest_queue) longest_queue = tail - head;
        while (head < tail && queue[head].procs <= free_procs) start(queue[head++].id, now, 1);
        int64_t from = incremental && !ended && seen > head ? seen : head + 1;
        if (from < tail && free_procs > 0) backfill(from, now);
    }
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void fail(const char *what) {
    fprintf(stderr, "anchor: %s\n", what);
    exit(1);
}

static void *allocate(size_t size) {
    void *memory = malloc(size ? size : 1);
    if (!memory) fail("out of memory");
    memset(memory, 1, size); /* page faults happen here, not in the loop */
    return memory;
}

int main(int argc, char **argv) {
    if (argc < 4) fail("usage: anchor fcfs|fcfs-bare|easy|easy-inc JOBS PROCS [REPEAT [STARTS]]");
    static const char *const kinds[] = {"fcfs", "fcfs-bare", "easy", "easy-inc"};
    int kind = 0;
    while (kind < 4 && strcmp(argv[1], kinds[kind])) kind++;
    if (kind == 4) fail("unknown policy");
    FILE *in = fopen(argv[2], "rb");
    if (!in || fseek(in, 0, SEEK_END)) fail("cannot read JOBS");
    n = ftell(in) / (int64_t)sizeof(Job);
    rewind(in);
    Job *rows = allocate((size_t)n * sizeof *rows);
    if (fread(rows, sizeof *rows, (size_t)n, in) != (size_t)n) fail("cannot read JOBS");
    fclose(in);
    jobs = rows;
    total = atoll(argv[3]);
    int repeat = argc > 4 ? atoi(argv[4]) : 5;
    if (repeat < 1 || n >= INT32_MAX || total >= INT32_MAX) fail("out of range");
    for (int64_t k = 0; k < n; k++)
        if (jobs[k].procs < 1 || jobs[k].procs > total || jobs[k].run < 0 || jobs[k].run > jobs[k].limit ||
            (k && jobs[k].submit < jobs[k - 1].submit))
            fail("a row is out of order, too wide, or runs past its limit");
    starts = allocate((size_t)n * sizeof *starts);
    heap = allocate((size_t)n * sizeof *heap);
    list = allocate((size_t)(n + 1) * sizeof *list);
    queue = allocate((size_t)n * sizeof *queue);
    double *seconds = allocate((size_t)repeat * sizeof *seconds);
    for (int r = 0; r < repeat; r++) {
        struct timespec a, b;
        memset(starts, 0xff, (size_t)n * sizeof *starts);
        running = head = tail = most_running = longest_queue = 0;
        free_procs = total;
        clock_gettime(CLOCK_MONOTONIC, &a);
        if (kind < 2) fcfs(kind == 0);
        else easy(kind == 3);
        clock_gettime(CLOCK_MONOTONIC, &b);
        seconds[r] = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    }
    qsort(seconds, (size_t)repeat, sizeof *seconds, by_value);
    uint64_t sum = 0;
    for (int64_t k = 0; k < n; k++) sum = sum * 1099511628211u + (uint64_t)starts[k];
    double median = seconds[repeat / 2];
    printf("jobs %" PRId64 " median_s %.9f jobs_per_s %.0f checksum %016" PRIx64 " most_running %" PRId64
           " longest_queue %" PRId64 "\n", n, median, (double)n / median, sum, most_running, longest_queue);
    if (argc > 5) {
        FILE *out = fopen(argv[5], "wb");
        if (!out || fwrite(starts, sizeof *starts, (size_t)n, out) != (size_t)n || fclose(out)) fail("cannot write STARTS");
    }
    return 0;
}
