#ifndef ISLET_DOOR_H
#define ISLET_DOOR_H

/* door.c: `islet door`, see there. */
int door_main(int argc, char **argv);

#endif
