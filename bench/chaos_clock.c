/* Shows a process another time of day: LD_PRELOAD it, with CHAOS_CLOCK naming a file of eight bytes, the nanoseconds by
 * which it is later. The file may be written meanwhile, as when a clock is set. What sleeps goes on sleeping: only the
 * wall clock is another one. (libfaketime 0.9.10 cannot do this: it breaks Python's sleep().) */

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *later;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *seen = file >= 0 ? mmap(NULL, sizeof *later, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
    later = seen == MAP_FAILED ? NULL : seen;
    if (file >= 0)
        close(file);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    long failed = syscall(SYS_clock_gettime, clock, at);
    if (!failed && later && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t nanoseconds = at->tv_sec * INT64_C(1000000000) + at->tv_nsec + *later;
        at->tv_sec = nanoseconds / INT64_C(1000000000);
        at->tv_nsec = nanoseconds % INT64_C(1000000000);
    }
    return (int)failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}
