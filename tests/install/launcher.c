/*
 * launcher: what systemd does for a socket unit, as far as the test of socket activation needs it.
 *
 *     launcher ADDRESS EVENT GENERAL PROGRAM ARGUMENT...
 *
 * Binds both UDP ports, gives up every privilege where it has any, and becomes PROGRAM with the sockets as descriptors
 * 3 and 4, the general one first: their order means nothing. 77: the ports are taken.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_DESCRIPTOR 3
#define NOBODY 65534
#define EXIT_SKIP 77

static void hand_over(const char *address, const char *port, int descriptor)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || inet_pton(AF_INET, address, &at.sin_addr) != 1 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        printf("cannot bind %s port %s: %s\n", address, port, strerror(errno));
        exit(errno == EADDRINUSE ? EXIT_SKIP : 1);
    }
    if (fd != descriptor) {
        dup2(fd, descriptor);
        close(fd);
    }
}

int main(int argc, char **argv)
{
    char pid[32];
    if (argc < 5)
        return 2;
    /* What a test runner left open must not stand where the sockets belong. */
    close(FIRST_DESCRIPTOR);
    close(FIRST_DESCRIPTOR + 1);
    hand_over(argv[1], argv[3], FIRST_DESCRIPTOR);
    hand_over(argv[1], argv[2], FIRST_DESCRIPTOR + 1);
    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
                           setresuid(NOBODY, NOBODY, NOBODY) != 0)) {
        printf("cannot become nobody: %s\n", strerror(errno));
        return 1;
    }
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "2", 1);
    setenv("LISTEN_FDNAMES", "ptp:ptp", 1);
    execv(argv[4], argv + 4);
    printf("cannot run %s: %s\n", argv[4], strerror(errno));
    return 1;
}
