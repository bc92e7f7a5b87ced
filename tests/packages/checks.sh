# What must hold of an installed package; sourced by tests/packages.sh. The
# comment behind each check names a mutation that it has to catch.

prepare_deb() {
  nagios_unit=nagios4.service nagios_etc=/etc/nagios4 nagios_binary=nagios4
  objects=/var/lib/nagios4/objects.cache
  install_first='dpkg --force-confold -i /pkgs/first.deb'
  install_second='dpkg --force-confold -i /pkgs/second.deb'
  remove='dpkg -r weather-balloon'
  write_names
}

# A Nagios that lies where EPEL's does; RHEL itself cannot be had here.
prepare_rpm() {
  nagios_unit=nagios.service nagios_etc=/etc/nagios nagios_binary=/usr/sbin/nagios
  objects=/var/spool/nagios/objects.cache
  install_first='rpm -i --nodeps --force-debian /pkgs/first.rpm'
  install_second='rpm -U --nodeps --force-debian /pkgs/second.rpm'
  remove='rpm -e --nodeps --force-debian weather-balloon'
  guest bash -eu -c '
    ln -s nagios4 /usr/sbin/nagios
    mkdir -p /etc/nagios /etc/nagios/conf.d /etc/nagios/private
    cp -r /etc/nagios4/objects /etc/nagios/
    install -m 640 -g nagios /etc/nagios4/resource.cfg /etc/nagios/private/resource.cfg
    sed -e "s|/etc/nagios4/resource.cfg|/etc/nagios/private/resource.cfg|; s|/etc/nagios4|/etc/nagios|" \
      -e "s|/var/lib/nagios4/rw|/var/spool/nagios/cmd|; s|/var/lib/nagios4|/var/spool/nagios|" \
      -e "s|/var/log/nagios4|/var/log/nagios|; s|/var/run/nagios4|/run/nagios|" \
      -e "s|^temp_path=.*|temp_path=/tmp|" /etc/nagios4/nagios.cfg > /etc/nagios/nagios.cfg
    install -d -o nagios -g nagios /var/spool/nagios/spool/checkresults /var/log/nagios /var/log/nagios/archives /run/nagios
    install -d -o nagios -g nagios -m 755 /var/spool/nagios
    chown -R nagios:nagios /var/spool/nagios
    install -d -o nagios -g nagios -m 2755 /var/spool/nagios/cmd
    sed -i "s|^check_result_path=.*|check_result_path=/var/spool/nagios/spool/checkresults|" /etc/nagios/nagios.cfg
    mv /etc/nagios4 /etc/nagios4.away
    printf "[Service]\nExecStart=/usr/sbin/nagios /etc/nagios/nagios.cfg\nExecStartPre=-/bin/rm -f /var/spool/nagios/cmd/nagios.cmd\nKillMode=mixed\n" \
      > /etc/systemd/system/nagios.service
    systemctl daemon-reload'
  write_names
}

all_checks() {
  check "Nagios runs before" 'systemctl start $nagios; until_ 30 test -s $objects; systemctl is-active -q $nagios'
  installing
  running
  performance_data
  upgrading
  leaving
}

installing() {
  check "it installs" '$install_first' # a script that fails
  check "it is not started by that" '! systemctl is-active -q $wb' # start in postinst
  check "it is enabled for the next boot, or left to presets" 'systemctl is-enabled -q $wb || rpm -q weather-balloon' # no enable in postinst
  check "no backups run unasked" '! systemctl is-enabled -q weather-balloon-backup.timer' # the timer in postinst
  check "its user is in Nagios's group" 'id -nG weather-balloon | grep -qw nagios' # no "m" line in sysusers
  check "the hosts directory is the service's and Nagios's" '[ "$(stat -c "%U:%G %a" $etc/conf.d/weather-balloon)" = "weather-balloon:nagios 2750" ]' # tmpfiles before sysusers
  check "the spool is the service's and Nagios's" '[ "$(stat -c "%U:%G %a" /var/spool/weather-balloon/perfdata)" = "weather-balloon:nagios 2770" ]' # no spool in tmpfiles
  check "everybody reads the configuration" '[ "$(stat -c "%U %a" /etc/weather-balloon/weather-balloon.toml)" = "root 644" ]' # mode 640
  check "the configuration has no fault" 'weather-balloon check-config' # a path of the other distribution
  check "Nagios is still valid" 'nagios_v' # a template with a clash
  check "Nagios still runs, untouched" 'systemctl is-active -q $nagios; [ "$(systemctl show -p NRestarts --value $nagios)" = 0 ]' # a restart in postinst
  check "a check without the daemon is no crash" 'weather-balloon check > /tmp/said && code=0 || code=$?; [ $code = 2 ] || [ $code = 3 ]; grep -q "^WEATHER-BALLOON " /tmp/said' # exit 1
  check "the unit is well formed" 'systemd-analyze verify --man=no $wb' # Type=notify-reload
  check "the manual is there" 'test -s /usr/share/man/man1/weather-balloon.1.gz && test -s /usr/share/man/man5/weather-balloon.toml.5.gz' # no man in build.sh
}

running() {
  check "it starts and is READY" 'systemctl start $wb; systemctl is-active -q $wb; journalctl -u $wb | grep -q ready' # ReadWritePaths without "-"
  check "Thrift answers" 'answers' # another port
  check "set_hosts reaches Nagios with no file edited" 'set_hosts vm-1; until_ 30 watched vm-1' # no www-data in the drop-in
  check "it is watched under the templates" 'weather-balloon check sync; grep -q "Check Load" $objects' # templates outside conf.d
  check "others do not read the hosts" 'test -s $etc/conf.d/weather-balloon/hosts.cfg; ! runuser -u nobody cat $etc/conf.d/weather-balloon/hosts.cfg' # 2755 in tmpfiles
  check "the user of Nagios runs the check" 'runuser -u nagios -- weather-balloon check hosts' # configuration 0640
  check "reload keeps the process" 'before=$(pid $wb); systemctl reload $wb; until_ 10 answers; [ "$before" = "$(pid $wb)" ]; journalctl -u $wb | grep -q "configuration was reloaded"' # ExecReload without -HUP
  check "restart keeps the hosts" 'systemctl restart $wb; until_ 10 answers; weather-balloon hosts list | grep -q vm-1' # StateDirectory= another
  check "READY within 300 ms of the start" 'best=9999; for n in 1 2 3; do systemctl stop $wb; a=$(date +%s%N); systemctl start $wb; took=$((($(date +%s%N) - a) / 1000000)); [ $took -lt $best ] && best=$took; done; echo "$best ms"; [ $best -lt 300 ]' # a sleep before READY
  check "idle memory under 25 MB" 'sleep 2; kb=$(awk "/^VmRSS/ { print \$2 }" /proc/$(pid $wb)/status); echo "$kb kB"; [ $kb -lt 25600 ]' # a 30 MB buffer
  check "killed, it comes back" 'before=$(restarts); kill -9 $(pid $wb); until_ 10 bash -c "[ \$(systemctl show -p NRestarts --value $wb) -gt $before ]"; until_ 10 answers' # no Restart=
  check "hung, the watchdog kills it" 'mkdir -p /run/systemd/system/$wb.d; printf "[Service]\nWatchdogSec=3s\n" > /run/systemd/system/$wb.d/quick.conf; systemctl daemon-reload; systemctl restart $wb; before=$(restarts); kill -STOP $(pid $wb); until_ 20 bash -c "[ \$(systemctl show -p NRestarts --value $wb) -gt $before ]"; until_ 15 answers; journalctl -u $wb | grep -q "Watchdog timeout"' # no WatchdogSec=
  check "alive, the watchdog leaves it" 'before=$(pid $wb); sleep 7; [ $before = $(pid $wb) ]; rm -r /run/systemd/system/$wb.d; systemctl daemon-reload; systemctl restart $wb' # no feeding in the daemon
  check "exposure at most 1.5" 'systemd-analyze security --threshold=15 $wb' # no CapabilityBoundingSet=
  check "the drop-in for loopback alone works" 'install -D -m 644 /usr/share/doc/weather-balloon/examples/systemd/local-only.conf /etc/systemd/system/$wb.d/local-only.conf; systemctl daemon-reload; systemctl restart $wb; until_ 10 answers; rm -r /etc/systemd/system/$wb.d; systemctl daemon-reload; systemctl restart $wb; until_ 10 answers' # IPAddressAllow= missing
  check "the drop-in brings a dead Nagios back" 'install -D -m 644 /usr/share/doc/weather-balloon/examples/systemd/nagios-restart.conf /etc/systemd/system/$nagios.d/restart.conf; systemctl daemon-reload; kill -9 $(pid $nagios); until_ 20 bash -c "[ \$(systemctl show -p NRestarts --value $nagios) = 1 ] && systemctl is-active -q $nagios"' # no Restart= in it
  check "the plugins for monitored machines work" 'for p in check_mem check_connections; do /usr/share/doc/weather-balloon/examples/plugins/$p | grep -q "OK.*|"; done' # a typing error
}

performance_data() {
  check "a real Carbon runs" 'install -d -o _graphite -g _graphite /var/lib/graphite/whisper; sed -i "s/^MAX_CREATES_PER_MINUTE.*/MAX_CREATES_PER_MINUTE = inf/" /etc/carbon/carbon.conf; systemctl start carbon-cache; until_ 30 bash -c "exec 3<>/dev/tcp/127.0.0.1/2004"'
  check "Nagios takes the perfdata settings" 'sed -i "/^process_performance_data/d" $main; cat /usr/share/weather-balloon/nagios-templates/nagios.cfg.snippet >> $main; sed -i "s/^\(.*_perfdata_file_processing_interval\)=.*/\1=2/" $main; sed -i "s|^address = \"\"|address = \"127.0.0.1:2004\"|" /etc/weather-balloon/weather-balloon.toml; nagios_v; systemctl restart $nagios $wb; until_ 10 answers' # a command that perfdata.cfg does not define
  check "a point goes from Nagios to Carbon" 'until_ 20 test -p $(sed -n "s/^command_file=//p" $main); now=$(date +%s); printf "[%d] PROCESS_SERVICE_CHECK_RESULT;vm-1;Check Load;0;OK|load1=0.5\n" $now > $(sed -n "s/^command_file=//p" $main); until_ 60 points "vm-1/load/load1"' # spool not in ReadWritePaths
  check "the perfdata check is OK" 'weather-balloon check perfdata' # bad_lines by a wrong template
}

upgrading() {
  check "an upgrade keeps the edited configuration" '$install_second; grep -q "127.0.0.1:2004" /etc/weather-balloon/weather-balloon.toml' # no conffile
  check "an upgrade restarts what runs" 'until_ 10 answers; systemctl is-active -q $wb' # stop in prerm upgrade
  check "an upgrade loses no hosts" 'weather-balloon hosts list | grep -q vm-1; weather-balloon hosts history | grep -q live' # rm in postrm upgrade
  check "an upgrade leaves Nagios valid" 'nagios_v; systemctl is-active -q $nagios' # rm of templates in preun
}

leaving() {
  # With setup's edits in place remove would undo them; these were made by hand.
  check "the edits of the settings come out" 'sed -i "/perfdata_file/d; /^process_performance_data/d" $main; nagios_v'
  check "removing stops it" '$remove; ! systemctl is-active -q $wb; ! [ -e /usr/bin/weather-balloon ]' # no prerm
  check "after removing Nagios is valid and restarts" 'nagios_v; systemctl restart $nagios; systemctl is-active -q $nagios' # hosts.cfg without templates
  check "after removing the data stays" 'test -s /var/lib/weather-balloon/state.db' # rm in postrm remove
  if [ "$kind" = deb ]; then
    check "an install again finds its hosts" '$install_second; systemctl start $wb; until_ 10 answers; weather-balloon hosts list | grep -q vm-1' # as above
    check "a clash is set aside at the installation" '$remove; dpkg -P weather-balloon; printf "define hostgroup {\n hostgroup_name atmo-vms\n alias x\n}\n" > $etc/conf.d/theirs.cfg; nagios_v; $install_first 2>&1 | grep -q "set aside"; nagios_v; rm $etc/conf.d/theirs.cfg' # no spare_nagios
    check "purging leaves nothing" 'dpkg -P weather-balloon; left=$(find /etc /usr /var /run /root -xdev -name "*weather-balloon*" -not -path "*/log/*"); [ -z "$left" ] || { echo "$left"; false; }' # no rm in postrm
    check "after purging Nagios is valid" 'nagios_v' # a cfg_dir that is gone
  fi
}
