/* Preloaded into a server: writes down, in the order in which they happen, what goes into files, when
 * fdatasync and fsync begin and end, and what is sent on sockets.
 *
 * The file named by IOTRACE gets one record per event: kind (1 byte), pad (3), fd (u32), length (u64), bytes.
 * A lock is held while a record is added, so their order is an order in time: "W" is added after the write
 * returned, "B" before a sync is called, "E" after it returned, "S" before anything is sent.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("IOTRACE");
    if (path != NULL)
        trace = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void put(const void *data, size_t length)
{
    const char *at = data;
    while (length > 0) {
        ssize_t done = syscall(SYS_write, trace, at, length);
        if (done <= 0)
            abort();
        at += done;
        length -= (size_t)done;
    }
}

static void record(char kind, int fd, const struct iovec *parts, int count, size_t length)
{
    struct {
        char kind, pad[3];
        uint32_t fd;
        uint64_t length;
    } head = {kind, {0, 0, 0}, (uint32_t)fd, length};
    if (trace < 0)
        return;
    pthread_mutex_lock(&lock);
    put(&head, sizeof head);
    for (int i = 0; i < count && length > 0; i++) {
        size_t part = parts[i].iov_len < length ? parts[i].iov_len : length;
        put(parts[i].iov_base, part);
        length -= part;
    }
    pthread_mutex_unlock(&lock);
}

static mode_t kind_of(int fd)
{
    struct stat stat;
    return fstat(fd, &stat) == 0 ? stat.st_mode & S_IFMT : 0;
}

static size_t total(const struct iovec *parts, int count)
{
    size_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += parts[i].iov_len;
    return sum;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    static __typeof__(&writev) real;
    mode_t kind = kind_of(fd);
    ssize_t done;
    if (real == NULL)
        real = REAL(writev);
    if (kind == S_IFSOCK)
        record('S', fd, parts, count, total(parts, count));
    done = real(fd, parts, count);
    if (kind == S_IFREG && done > 0)
        record('W', fd, parts, count, (size_t)done);
    return done;
}

ssize_t write(int fd, const void *data, size_t length)
{
    static __typeof__(&write) real;
    struct iovec part = {(void *)data, length};
    mode_t kind = kind_of(fd);
    ssize_t done;
    if (real == NULL)
        real = REAL(write);
    if (kind == S_IFSOCK)
        record('S', fd, &part, 1, length);
    done = real(fd, data, length);
    if (kind == S_IFREG && done > 0)
        record('W', fd, &part, 1, (size_t)done);
    return done;
}

ssize_t send(int fd, const void *data, size_t length, int flags)
{
    static __typeof__(&send) real;
    struct iovec part = {(void *)data, length};
    if (real == NULL)
        real = REAL(send);
    record('S', fd, &part, 1, length);
    return real(fd, data, length, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    static __typeof__(&sendmsg) real;
    int count = (int)message->msg_iovlen;
    if (real == NULL)
        real = REAL(sendmsg);
    record('S', fd, message->msg_iov, count, total(message->msg_iov, count));
    return real(fd, message, flags);
}

int fdatasync(int fd)
{
    static __typeof__(&fdatasync) real;
    int result;
    if (real == NULL)
        real = REAL(fdatasync);
    record('B', fd, NULL, 0, 0);
    result = real(fd);
    if (result == 0)
        record('E', fd, NULL, 0, 0);
    return result;
}

int fsync(int fd)
{
    static __typeof__(&fsync) real;
    int result;
    if (real == NULL)
        real = REAL(fsync);
    record('B', fd, NULL, 0, 0);
    result = real(fd);
    if (result == 0)
        record('E', fd, NULL, 0, 0);
    return result;
}
