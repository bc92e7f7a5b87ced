# Debian's paths to those of the Nagios of EPEL and Fedora.
s|/etc/nagios4/|/etc/nagios/|
s|/usr/sbin/nagios4|/usr/sbin/nagios|
s|/var/lib/nagios4/rw/|/var/spool/nagios/cmd/|
s|/var/lib/nagios4/status.dat|/var/spool/nagios/status.dat|
s|/var/log/nagios4/|/var/log/nagios/|
