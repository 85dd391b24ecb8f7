/*
 * bare: a host in an empty root, without /proc, /sys or /dev. Binds 127.0.55.x.
 *
 *     bare RECEIVER
 */
#define _GNU_SOURCE
#include "faults.h"
#include "receiver.h"

#define LOCAL "127.0.55.1"
#define PORT 25619

int main(int argc, char **argv)
{
    static const char *const options[] = {"--address", "127.0.55.2", "--event-port", "25619", "--general-port", "25620", NULL};
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *session;
    ptpbmca_clock_offset offset;
    ptpbmca_session_status status;
    struct receiver receiver;
    char root[] = "/tmp/ptpbmca-bare-XXXXXX";
    int outside;
    CHECK(argc == 2);
    receiver = receiver_start(argv[1], options);
    CHECK(mkdtemp(root) != NULL);
    outside = open("/", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (chroot(root) != 0) {
        receiver_end(&receiver);
        rmdir(root);
        printf("chroot takes a privilege\n");
        return EXIT_SKIP;
    }
    CHECK(chdir("/") == 0 && access("/proc", F_OK) != 0 && access("/sys", F_OK) != 0);
    GIVES(ptpbmca_start("127.0.55.2", &config, &session, NULL), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(session, 20000), PTPBMCA_OK);
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    CHECK(offset.sync_state == PTPBMCA_SYNC_LOCKED && offset.local_clock_id != 0);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_OK);
    CHECK(status.event_port == PORT);
    stop(session);
    /* A scope by name is found without either too. */
    config = loopback("::1", PORT + 10);
    config.role = PTPBMCA_ROLE_LEAD;
    if (ptpbmca_start("fe80::1%lo", &config, &session, NULL) == PTPBMCA_OK)
        stop(session);
    CHECK(fchdir(outside) == 0 && chroot(".") == 0);
    rmdir(root);
    receiver_end(&receiver);
    printf("locked without /proc, /sys and /dev\n");
    return 0;
}
