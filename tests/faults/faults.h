/* faults.h: what the host-fault tests count: descriptors, threads, memory, CPU time and waits of this process. */
#ifndef PTPBMCA_TESTS_FAULTS_H
#define PTPBMCA_TESTS_FAULTS_H

#include "../c/check.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Entries of a directory of numbers, /proc/self/fd or /proc/self/task, without the one that the listing itself opens. */
static UNUSED int list_numbers(const char *path, int *numbers, int most)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    int count = 0;
    CHECK(directory != NULL);
    while ((entry = readdir(directory))) {
        int number = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || (strstr(path, "fd") && number == dirfd(directory)))
            continue;
        if (numbers && count < most)
            numbers[count] = number;
        count++;
    }
    closedir(directory);
    return count;
}

static UNUSED int list_fds(int *numbers, int most)
{
    return list_numbers("/proc/self/fd", numbers, most);
}

static UNUSED int count_fds(void)
{
    return list_fds(NULL, 0);
}

static UNUSED int count_threads(void)
{
    return list_numbers("/proc/self/task", NULL, 0);
}

/* The descriptors that are open now and were not then. */
static UNUSED int new_fds(const int *had, int has, int *fresh, int most)
{
    int now[256], count = list_fds(now, 256), found = 0;
    CHECK(count <= 256);
    for (int i = 0; i < count; i++) {
        int old = 0;
        for (int j = 0; j < has; j++)
            old |= had[j] == now[i];
        if (!old && found < most)
            fresh[found++] = now[i];
    }
    return found;
}

/* What this process has used: a worker that spins shows in both, whatever else the machine does. */
struct usage {
    int64_t cpu_ns;
    long switches;
};

static UNUSED struct usage usage_now(void)
{
    struct rusage usage;
    struct usage used;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    used.cpu_ns = raw_clock(CLOCK_PROCESS_CPUTIME_ID);
    used.switches = usage.ru_nvcsw;
    return used;
}

/* A part in a process of its own, which has not used the library yet. To be called before this one has. */
static UNUSED void in_a_child(void (*part)(void))
{
    int status;
    pid_t child;
    fflush(stdout);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        /* What is left of a test that failed or was killed must not be in the way of the next. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        part();
        fflush(stdout);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        FAIL("ended by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        _exit(WEXITSTATUS(status));
}

#endif
