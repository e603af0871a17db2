/* A guest's service for a test: listens on the socket of the given path and says hello to whoever connects.
 */
#define _DEFAULT_SOURCE
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path)
        return 2;
    strcpy(address.sun_path, argv[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 8) != 0)
        return 1;
    if (daemon(0, 0) != 0)
        return 1;
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        if (peer < 0)
            return 1;
        if (write(peer, "hello\n", 6) != 6)
            return 1;
        close(peer);
    }
}
