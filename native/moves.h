#ifndef ISLET_MOVES_H
#define ISLET_MOVES_H

/* `moves FILE MS`: moves itself, through this cgroup.procs file, to the cgroup where it is, again and again,
 * so that the kernel's lock on moves stays quick for others (src/engine/quick-moves.ts). Ends when MS
 * milliseconds have gone without a byte on standard input, at its end, or when the kernel refuses; 1: it
 * refused, or the words are wrong. */
int moves_main(int argc, char **argv);

#endif
