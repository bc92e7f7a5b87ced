/* Put before the C library (LD_PRELOAD) by tests/common/faults.rs: counts what
 * the process asks of the kernel that changes something outside of it, over
 * all of its threads, and at the n-th such call ends the process or lets calls
 * fail; or the next ones, at any time at which the test asks for it. It can
 * also record every change of files, with the bytes.
 *
 * strace counts the calls of each thread for itself, and which thread of a
 * pool does a piece of work differs from run to run; one count for all is what
 * makes "at every call" mean something. That nothing is missed is held against
 * strace's own count, in tests/prove/counts.rs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Shared with the test, which reads it after the end of the process. */
struct shared {
  uint64_t calls;
  uint64_t fired;
  char what[496];
  /* Written by the test while the process runs: so many of the next calls
   * meet this errno, or CUT_SHORT. */
  int64_t ordered_error;
  uint64_t ordered;
};

enum { CUT_SHORT = -1 };

static struct shared *shared;
static pid_t own;
static uint64_t from, times;
static int kills, error;
static int record = -1;
/* Held over a recorded call, so that the record is in the order of effects. */
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

static uint64_t number(const char *name, uint64_t absent) {
  const char *text = getenv(name);
  return text ? strtoull(text, NULL, 10) : absent;
}

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("FAULTS_SHARED");
  if (!file) return;
  int fd = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *at = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (at == MAP_FAILED) return;
  from = number("FAULTS_FROM", 0);
  times = number("FAULTS_TIMES", 1);
  error = (int)strtol(getenv("FAULTS_ERROR") ? getenv("FAULTS_ERROR") : "0", NULL, 10);
  kills = error == 0;
  const char *log = getenv("FAULTS_RECORD");
  if (log) {
    int low = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CLOEXEC);
    /* Out of the way of those who expect low numbers. */
    record = low < 0 ? -1 : (int)syscall(SYS_fcntl, low, F_DUPFD_CLOEXEC, 200);
    if (low >= 0) syscall(SYS_close, low);
  }
  own = getpid();
  shared = at;
}

/* 0: go on. Else the errno, or CUT_SHORT. */
static int step(const char *call, const char *on) {
  int kept = errno;
  /* A child between fork and exec shares the memory, and is not the process. */
  if (!shared || getpid() != own) return 0;
  uint64_t n = __atomic_add_fetch(&shared->calls, 1, __ATOMIC_SEQ_CST);
  uint64_t left = __atomic_load_n(&shared->ordered, __ATOMIC_SEQ_CST);
  while (left > 0)
    if (__atomic_compare_exchange_n(&shared->ordered, &left, left - 1, 0, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST)) {
      __atomic_add_fetch(&shared->fired, 1, __ATOMIC_SEQ_CST);
      errno = kept;
      return (int)shared->ordered_error;
    }
  if (from == 0 || n < from || n - from >= times) return 0;
  if (n == from) snprintf(shared->what, sizeof shared->what, "%s %s", call, on);
  __atomic_add_fetch(&shared->fired, 1, __ATOMIC_SEQ_CST);
  if (kills) {
    kill(own, SIGKILL);
    for (;;) pause();
  }
  errno = kept;
  return error;
}

static const char *name_of(int fd, char *path) {
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
  path[n > 0 ? n : 0] = 0;
  return path;
}

/* Two sockets without names that are each other's peers: what a process tells
 * itself with, for one from a signal's handler. No kernel refuses that for
 * want of room on a disk. */
static int is_own_pair(int fd) {
  struct sockaddr_storage here, there;
  socklen_t one = sizeof here, two = sizeof there;
  return getsockname(fd, (struct sockaddr *)&here, &one) == 0 && here.ss_family == AF_UNIX &&
         one == sizeof(sa_family_t) && getpeername(fd, (struct sockaddr *)&there, &two) == 0 &&
         two == sizeof(sa_family_t);
}

/* Files, FIFOs with a name and sockets. Not what the process says on its
 * standard streams, nor how its own threads wake each other. */
static int counts(int fd, struct stat *meta) {
  return shared && fd > 2 && fd != record && fstat(fd, meta) == 0 &&
         (S_ISREG(meta->st_mode) || S_ISDIR(meta->st_mode) ||
          (S_ISSOCK(meta->st_mode) && !is_own_pair(fd)) ||
          (S_ISFIFO(meta->st_mode) && meta->st_nlink > 0 && meta->st_ino != 0));
}

static int is_pipe_without_name(int fd, const struct stat *meta) {
  char path[PATH_MAX];
  return S_ISFIFO(meta->st_mode) && strncmp(name_of(fd, path), "pipe:", 5) == 0;
}

static void put(const void *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = syscall(SYS_write, record, bytes, length);
    if (n <= 0) return;
    bytes = (const char *)bytes + n;
    length -= n;
  }
}

/* A line, and behind it `length` bytes. */
static void note(const char *call, uint64_t inode, const char *one, const char *two,
                 uint64_t offset, const void *bytes, size_t length) {
  char line[2 * PATH_MAX + 128];
  int n = snprintf(line, sizeof line, "%s\t%llu\t%s\t%s\t%llu\t%zu\n", call,
                   (unsigned long long)inode, one, two, (unsigned long long)offset, length);
  put(line, n);
  put(bytes, length);
}

static int recording(const struct stat *meta) {
  return record >= 0 && getpid() == own && (!meta || S_ISREG(meta->st_mode) || S_ISDIR(meta->st_mode));
}

#define LOCK(is) do { if (is) pthread_mutex_lock(&order); } while (0)
#define UNLOCK(is) do { if (is) { int e_ = errno; pthread_mutex_unlock(&order); errno = e_; } } while (0)

static ssize_t some_write(const char *call, long number, int fd, const void *bytes, size_t length,
                          off_t at) {
  struct stat meta;
  char path[PATH_MAX];
  if (!counts(fd, &meta) || is_pipe_without_name(fd, &meta))
    return at < 0 ? syscall(number, fd, bytes, length) : syscall(number, fd, bytes, length, at);
  int fault = step(call, name_of(fd, path));
  if (fault > 0) { errno = fault; return -1; }
  if (fault == CUT_SHORT && length > 1) length /= 2;
  int is = recording(&meta);
  LOCK(is);
  off_t offset = at;
  if (is && at < 0) {
    offset = syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND ? -1 : syscall(SYS_lseek, fd, 0, SEEK_CUR);
    if (offset < 0) { struct stat now; fstat(fd, &now); offset = now.st_size; }
  }
  ssize_t n = at < 0 ? syscall(number, fd, bytes, length) : syscall(number, fd, bytes, length, at);
  if (is && n > 0) note("write", meta.st_ino, name_of(fd, path), "", offset, bytes, n);
  UNLOCK(is);
  return n;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  return some_write("write", SYS_write, fd, bytes, length, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
  return some_write("pwrite", SYS_pwrite64, fd, bytes, length, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
  return some_write("pwrite", SYS_pwrite64, fd, bytes, length, at);
}

/* The first piece of several is as much as a kernel has to take. */
ssize_t writev(int fd, const struct iovec *pieces, int count) {
  struct stat meta;
  if (counts(fd, &meta) && S_ISREG(meta.st_mode)) {
    for (int i = 0; i < count; i++)
      if (pieces[i].iov_len > 0) return write(fd, pieces[i].iov_base, pieces[i].iov_len);
    return 0;
  }
  if (counts(fd, &meta) && !is_pipe_without_name(fd, &meta)) {
    int fault = step("writev", "socket");
    if (fault > 0) { errno = fault; return -1; }
    if (fault == CUT_SHORT) {
      for (int i = 0; i < count; i++)
        if (pieces[i].iov_len > 1)
          return syscall(SYS_write, fd, pieces[i].iov_base, pieces[i].iov_len / 2);
    }
  }
  return syscall(SYS_writev, fd, pieces, count);
}

ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to,
               socklen_t size) {
  int fault = shared && is_own_pair(fd) ? 0 : step("send", "socket");
  if (fault > 0) { errno = fault; return -1; }
  if (fault == CUT_SHORT && length > 1) length /= 2;
  return syscall(SYS_sendto, fd, bytes, length, flags, to, size);
}

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
  return sendto(fd, bytes, length, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  int fault = step("sendmsg", "socket");
  if (fault > 0) { errno = fault; return -1; }
  return syscall(SYS_sendmsg, fd, message, flags);
}

static int some_sync(const char *call, long number, int fd) {
  struct stat meta;
  char path[PATH_MAX];
  if (!counts(fd, &meta)) return syscall(number, fd);
  int fault = step(call, name_of(fd, path));
  if (fault > 0) { errno = fault; return -1; }
  int is = recording(&meta);
  LOCK(is);
  int done = syscall(number, fd);
  if (is && done == 0) note("sync", meta.st_ino, name_of(fd, path), "", 0, NULL, 0);
  UNLOCK(is);
  return done;
}

int fsync(int fd) { return some_sync("fsync", SYS_fsync, fd); }
int fdatasync(int fd) { return some_sync("fdatasync", SYS_fdatasync, fd); }

static int some_truncate(int fd, off_t length) {
  struct stat meta;
  char path[PATH_MAX];
  if (!counts(fd, &meta)) return syscall(SYS_ftruncate, fd, length);
  int fault = step("ftruncate", name_of(fd, path));
  if (fault > 0) { errno = fault; return -1; }
  int is = recording(&meta);
  LOCK(is);
  int done = syscall(SYS_ftruncate, fd, length);
  if (is && done == 0) note("truncate", meta.st_ino, name_of(fd, path), "", length, NULL, 0);
  UNLOCK(is);
  return done;
}

int ftruncate(int fd, off_t length) { return some_truncate(fd, length); }
int ftruncate64(int fd, off64_t length) { return some_truncate(fd, length); }

/* With the name of an open directory before a relative path. */
static const char *full(int dir, const char *path, char *whole) {
  char base[PATH_MAX];
  if (path[0] == '/') return path;
  if (dir == AT_FDCWD) {
    if (syscall(SYS_getcwd, base, sizeof base) < 0) return path;
  } else {
    name_of(dir, base);
  }
  snprintf(whole, 2 * PATH_MAX, "%s/%s", base, path);
  return whole;
}

static uint64_t inode_at(int dir, const char *path) {
  struct stat meta;
  return fstatat(dir, path, &meta, AT_SYMLINK_NOFOLLOW) == 0 ? meta.st_ino : 0;
}

/* One that names another place: rename, link. */
static int some_naming(const char *call, long number, int olddir, const char *old, int newdir,
                       const char *new, unsigned flags) {
  char one[2 * PATH_MAX], two[2 * PATH_MAX];
  int fault = step(call, new);
  if (fault > 0) { errno = fault; return -1; }
  int is = recording(NULL);
  LOCK(is);
  uint64_t inode = inode_at(olddir, old);
  int done = syscall(number, olddir, old, newdir, new, flags);
  if (is && done == 0) note(call, inode, full(olddir, old, one), full(newdir, new, two), 0, NULL, 0);
  UNLOCK(is);
  return done;
}

int rename(const char *old, const char *new) {
  return some_naming("rename", SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, 0);
}
int renameat(int olddir, const char *old, int newdir, const char *new) {
  return some_naming("rename", SYS_renameat2, olddir, old, newdir, new, 0);
}
int renameat2(int olddir, const char *old, int newdir, const char *new, unsigned flags) {
  return some_naming("rename", SYS_renameat2, olddir, old, newdir, new, flags);
}
int link(const char *old, const char *new) {
  return some_naming("link", SYS_linkat, AT_FDCWD, old, AT_FDCWD, new, 0);
}
int linkat(int olddir, const char *old, int newdir, const char *new, int flags) {
  return some_naming("link", SYS_linkat, olddir, old, newdir, new, flags);
}

static int some_unlink(int dir, const char *path, int flags) {
  char whole[2 * PATH_MAX];
  int fault = step("unlink", path);
  if (fault > 0) { errno = fault; return -1; }
  int is = recording(NULL);
  LOCK(is);
  uint64_t inode = inode_at(dir, path);
  int done = syscall(SYS_unlinkat, dir, path, flags);
  if (is && done == 0) note("unlink", inode, full(dir, path, whole), "", 0, NULL, 0);
  UNLOCK(is);
  return done;
}

int unlink(const char *path) { return some_unlink(AT_FDCWD, path, 0); }
int unlinkat(int dir, const char *path, int flags) { return some_unlink(dir, path, flags); }
int rmdir(const char *path) { return some_unlink(AT_FDCWD, path, AT_REMOVEDIR); }

static int some_mkdir(int dir, const char *path, mode_t mode) {
  char whole[2 * PATH_MAX];
  int fault = step("mkdir", path);
  if (fault > 0) { errno = fault; return -1; }
  int is = recording(NULL);
  LOCK(is);
  int done = syscall(SYS_mkdirat, dir, path, mode);
  if (is && done == 0)
    note("mkdir", inode_at(dir, path), full(dir, path, whole), "", 0, NULL, 0);
  UNLOCK(is);
  return done;
}

int mkdir(const char *path, mode_t mode) { return some_mkdir(AT_FDCWD, path, mode); }
int mkdirat(int dir, const char *path, mode_t mode) { return some_mkdir(dir, path, mode); }

static int some_chmod(const char *path, int fd, mode_t mode) {
  int fault = step("chmod", path ? path : "a file");
  if (fault > 0) { errno = fault; return -1; }
  return path ? syscall(SYS_fchmodat, AT_FDCWD, path, mode) : syscall(SYS_fchmod, fd, mode);
}

int chmod(const char *path, mode_t mode) { return some_chmod(path, -1, mode); }
int fchmod(int fd, mode_t mode) { return some_chmod(NULL, fd, mode); }

/* Counted where it may make or empty a file. */
static int some_open(int dir, const char *path, int flags, mode_t mode) {
  char whole[2 * PATH_MAX];
  if (!shared || !(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE)
    return syscall(SYS_openat, dir, path, flags, mode);
  int fault = step("open", path);
  if (fault > 0) { errno = fault; return -1; }
  int is = recording(NULL);
  LOCK(is);
  struct stat before;
  int was = fstatat(dir, path, &before, 0) == 0;
  int fd = syscall(SYS_openat, dir, path, flags, mode);
  struct stat meta;
  if (is && fd >= 0 && fstat(fd, &meta) == 0 && S_ISREG(meta.st_mode)) {
    if (!was) note("create", meta.st_ino, full(dir, path, whole), "", 0, NULL, 0);
    else if (flags & O_TRUNC) note("truncate", meta.st_ino, full(dir, path, whole), "", 0, NULL, 0);
  }
  UNLOCK(is);
  return fd;
}

#define MODE(flags) ({ mode_t m_ = 0; if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
  va_list a_; va_start(a_, flags); m_ = va_arg(a_, mode_t); va_end(a_); } m_; })

int open(const char *path, int flags, ...) {
  return some_open(AT_FDCWD, path, flags, MODE(flags));
}
int open64(const char *path, int flags, ...) {
  return some_open(AT_FDCWD, path, flags | O_LARGEFILE, MODE(flags));
}
int openat(int dir, const char *path, int flags, ...) {
  return some_open(dir, path, flags, MODE(flags));
}
int openat64(int dir, const char *path, int flags, ...) {
  return some_open(dir, path, flags | O_LARGEFILE, MODE(flags));
}

ssize_t copy_file_range(int in, off64_t *from_at, int out, off64_t *to_at, size_t length,
                        unsigned flags) {
  char path[PATH_MAX];
  int fault = step("copy", name_of(out, path));
  if (fault > 0) { errno = fault; return -1; }
  return syscall(SYS_copy_file_range, in, from_at, out, to_at, length, flags);
}
