/* The one binary of islet: what it is depends on the name and the first word it is called with. */
#include <string.h>

#include "client.h"
#include "door.h"
#include "init.h"
#include "monitor.h"
#include "moves.h"
#include "nursery.h"
#include "reap.h"
#include "tree.h"

int main(int argc, char **argv)
{
    const char *slash;
    const char *tool;

    if (argc < 1)
        return 1;
    slash = strrchr(argv[0], '/');
    tool = slash != NULL ? slash + 1 : argv[0];
    if (strcmp(tool, "islet") == 0 && argc > 1) {
        if (strcmp(argv[1], "monitor") == 0)
            return monitor_main(argc, argv);
        if (strcmp(argv[1], "nursery") == 0)
            return nursery_main(argc, argv);
        if (strcmp(argv[1], "init") == 0)
            return init_main(argc - 1, argv + 1);
        if (strcmp(argv[1], "reap") == 0)
            return reap_main(argc - 1, argv + 1);
        if (strcmp(argv[1], "moves") == 0)
            return moves_main(argc - 1, argv + 1);
        if (strcmp(argv[1], "door") == 0)
            return door_main(argc, argv);
        if (strcmp(argv[1], "tree") == 0)
            return tree_main(argc - 1, argv + 1);
        if (strcmp(argv[1], "daemon") == 0)
            return daemon_main(argc);
        if (strcmp(argv[1], "runner") == 0)
            return runner_main();
    }
    return client_main(tool, argc, argv);
}
