# Makes, in the empty directory $1, a tree with everything that a copy may lose or trip over.
set -e
cd "$1"
mkdir -p a/b/c d "odd
name" empty deep-end
printf 'first' > a/one
ln a/one a/b/two
ln a/one d/three
ln -s /etc/passwd outside
ln -s ../../../../../../etc relative-outside
ln -s nowhere "dangling
link"
ln -P outside d/link-with-two-names
: > zero
printf x > "$(printf 'not\377utf\376')"
printf x > 'back\slash'
printf x > "odd
name/tab	in it"
dd if=/dev/urandom of=large bs=1M count=5 2>/dev/null
truncate -s 64M holes
printf 'begin' | dd of=holes conv=notrunc 2>/dev/null
printf 'middle' | dd of=holes bs=1 seek=33554439 conv=notrunc 2>/dev/null
truncate -s 1M only-a-hole
printf 'tail' > short-hole; truncate -s 100K short-hole; printf 'end' >> short-hole
mkfifo fifo -m 0622
mknod block b 7 200
mknod char c 10 255
mknod whiteout c 0 0
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")' 
printf x > setuid; chown 12:34 setuid; chmod 6755 setuid
mkdir sticky; chmod 1777 sticky
mkdir setgid-directory; chown 5:6 setgid-directory; chmod 2775 setgid-directory
printf x > setgid-directory/inside
chown -h 77:88 outside
chown 1000:1001 fifo socket char
printf x > no-rights; chmod 0 no-rights
mkdir shut; printf x > shut/file; chmod 0 shut
if setfattr -n user.note -v 'a value' a/one 2>/dev/null; then
  setfattr -n user.of-directory -v 'x' d
  setfattr -n user.empty zero
fi
setfattr -n trusted.note -v 'of root' large
setfattr -h -n trusted.link -v 'of a link' outside
setfattr -n trusted.fifo -v 'of a fifo' fifo
printf x > capable; setcap cap_net_raw,cap_net_admin+ep capable
printf x > acl; setfacl -m u:1234:rw,g:4321:r acl
setfacl -m u:1234:rwx -d -m g:99:rx d
i=0; while [ $i -lt 3000 ]; do : > "deep-end/file-$i"; i=$((i+1)); done
touch -d '1999-12-31 23:59:59.123456789' a/one large
touch -h -d '2001-02-03 04:05:06.000000007' outside
touch -d '1975-01-01 00:00:00.5' sticky shut a/b
printf x > unchangeable
ln unchangeable d/unchangeable-too
printf x > grows
mkdir shut-for-all
printf x > shut-for-all/file
chattr +i unchangeable shut-for-all
chattr +a grows
chattr +d zero
