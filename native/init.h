#ifndef ISLET_INIT_H
#define ISLET_INIT_H

/* `init [-n NAME] [-q] [--] CMD ARGS...`: the first process of an application container. The exit code is
 * CMD's, 128 + the signal that ended it, 255 if it could not be executed, 1 for a wrong call. */
int init_main(int argc, char **argv);

#endif
