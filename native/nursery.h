#ifndef ISLET_NURSERY_H
#define ISLET_NURSERY_H

/* nursery.c: `islet nursery`, see there. */
int nursery_main(int argc, char **argv);

#endif
