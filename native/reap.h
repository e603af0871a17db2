#ifndef ISLET_REAP_H
#define ISLET_REAP_H

/* `reap DIR...`: kills every process of these cgroup trees and removes the trees. The exit code is 1 when one
 * of them is still there after 10 seconds. */
int reap_main(int argc, char **argv);

#endif
