# What must hold of an installed package; sourced by tests/packages.sh. The
# comment behind each check names a mutation that it has to catch.

prepare_deb() {
  nagios_unit=nagios4.service nagios_etc=/etc/nagios4 nagios_binary=nagios4
  objects=/var/lib/nagios4/objects.cache
  install_first='dpkg --force-confold -i /pkgs/first.deb'
  install_second='dpkg --force-confold -i /pkgs/second.deb'
  downgrade=$install_first
  installed='dpkg-query -W -f ${Version} weather-balloon'
  remove='dpkg -r weather-balloon'
  write_names
}

# A Nagios that lies where EPEL's does; RHEL itself cannot be had here.
prepare_rpm() {
  nagios_unit=nagios.service nagios_etc=/etc/nagios nagios_binary=/usr/sbin/nagios
  objects=/var/spool/nagios/objects.cache
  install_first='rpm -i --nodeps --force-debian /pkgs/first.rpm'
  install_second='rpm -U --nodeps --force-debian /pkgs/second.rpm'
  downgrade='rpm -U --oldpackage --nodeps --force-debian /pkgs/first.rpm'
  installed='rpm -q --qf %{VERSION}-%{RELEASE} weather-balloon'
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
    mkdir -p /etc/systemd/system-preset
    echo "enable weather-balloon.service" > /etc/systemd/system-preset/00-site.preset
    echo "disable *" >> /etc/systemd/system-preset/00-site.preset
    systemctl daemon-reload'
  write_names
}

all_checks() {
  check "Nagios runs before" 'systemctl start $nagios; until_ 30 test -s $objects; systemctl is-active -q $nagios'
  installing
  running
  setting_up
  performance_data
  backing_up
  upgrading
  leaving
}

installing() {
  check "it installs" '$install_first' # a script that fails
  check "it is not started by that" 'test -x /usr/bin/weather-balloon; ! systemctl is-active -q $wb' # start in postinst
  check "it is enabled for the next boot, by the presets where there are some" 'systemctl is-enabled -q $wb' # no enable in postinst, no preset in post
  check "no backups run unasked" '[ "$(systemctl is-enabled weather-balloon-backup.timer)" = disabled ]; ! systemctl is-active -q weather-balloon-backup.timer' # the timer in postinst
  check "its user is in Nagios's group" 'id -nG weather-balloon | grep -qw nagios' # no "m" line in sysusers
  check "the hosts directory is the service's and Nagios's" '[ "$(stat -c "%U:%G %a" $etc/conf.d/weather-balloon)" = "weather-balloon:nagios 2750" ]' # tmpfiles before sysusers
  check "the spool is the service's and Nagios's" '[ "$(stat -c "%U:%G %a" /var/spool/weather-balloon/perfdata)" = "weather-balloon:nagios 2770" ]' # no spool in tmpfiles
  check "everybody reads the configuration" '[ "$(stat -c "%U %a" /etc/weather-balloon/weather-balloon.toml)" = "root 644" ]' # mode 640
  check "the configuration has no fault" 'weather-balloon check-config' # a path of the other distribution
  check "Nagios is still valid" 'nagios_v' # a template with a clash
  check "Nagios still runs, untouched" 'systemctl is-active -q $nagios; [ "$(systemctl show -p NRestarts --value $nagios)" = 0 ]' # a restart in postinst
  check "a check without the daemon is CRITICAL" 'exits 2 weather-balloon check; grep -q "^WEATHER-BALLOON CRITICAL - " /tmp/said; [ $(wc -l < /tmp/said) = 1 ]' # exit 75, as other commands
  check "doctor without the daemon fails and says what to do" 'exits 1 weather-balloon doctor; grep -q "systemctl start weather-balloon" /tmp/said' # exit 0
  check "the unit is well formed" 'systemd-analyze verify --man=no $wb' # Type=notify-reload
  check "the manual is there" 'zgrep -q "^.TH" /usr/share/man/man1/weather-balloon.1.gz; zgrep -q "^.TH" /usr/share/man/man5/weather-balloon.toml.5.gz' # no man in build.sh
  check "bash completes all commands" 'for word in backup doctor restore setup store; do grep -qw $word /usr/share/bash-completion/completions/weather-balloon; done' # no completions in build.sh
}

running() {
  check "it starts and is READY" 'systemctl start $wb; systemctl is-active -q $wb; journalctl -u $wb | grep -q ready' # ReadWritePaths without "-"
  check "Thrift answers" 'answers' # another port
  check "set_hosts reaches Nagios with no file edited" 'set_hosts vm-1; until_ 30 watched vm-1' # no www-data in the drop-in
  check "it is watched under the templates" 'weather-balloon check sync; grep -q "Check Load" $objects' # templates outside conf.d
  check "check says OK for parts that work" 'for part in hosts sync nagios store; do exits 0 weather-balloon check $part; done' # store without a ledger under the unit
  check "check says UNKNOWN to a wrong part" 'exits 3 weather-balloon check nonsense; grep -q "^WEATHER-BALLOON UNKNOWN - " /tmp/said' # exit 2, as other commands
  check "the ledger is open under the unit" 'test -s $state/ledger.db; weather-balloon usage top' # a filter that SQLite does not pass
  check "no call that the unit refuses is missed" 'not grep -qi "not permitted" <(journalctl -u $wb -o cat)' # a chown without its condition
  check "others do not read the hosts" 'test -s $etc/conf.d/weather-balloon/hosts.cfg; ! runuser -u nobody cat $etc/conf.d/weather-balloon/hosts.cfg' # 2755 in tmpfiles
  check "the user of Nagios runs the check" 'runuser -u nagios -- weather-balloon check hosts' # configuration 0640
  check "reload keeps the process" 'before=$(pid $wb); systemctl reload $wb; until_ 10 answers; [ "$before" = "$(pid $wb)" ]; journalctl -u $wb | grep -q "configuration was reloaded"' # ExecReload without -HUP
  check "restart keeps the hosts" 'systemctl restart $wb; until_ 10 answers; weather-balloon hosts list | grep -q vm-1' # StateDirectory= another
  check "READY soon after the start" 'best=9999; for n in 1 2 3 4 5; do systemctl stop $wb; a=$(date +%s%N); systemctl start $wb; took=$((($(date +%s%N) - a) / 1000000)); [ $took -lt $best ] && best=$took; done; echo "figure: $best ms of $ready_ms"; [ $best -lt $ready_ms ]' # a sleep before READY
  check "little memory when idle" 'sleep 2; kb=$(rss); echo "figure: $kb kB of $idle_kb, $(grep RssAnon /proc/$(pid $wb)/status)"; [ $kb -lt $idle_kb ]' # a 30 MB buffer
  check "killed, it comes back" 'before=$(restarts); kill -9 $(pid $wb); until_ 10 bash -c "[ \$(systemctl show -p NRestarts --value $wb) -gt $before ]"; until_ 10 answers' # no Restart=
  check "hung, the watchdog kills it" 'mkdir -p /run/systemd/system/$wb.d; printf "[Service]\nWatchdogSec=3s\n" > /run/systemd/system/$wb.d/quick.conf; systemctl daemon-reload; systemctl restart $wb; before=$(restarts); kill -STOP $(pid $wb); until_ 20 bash -c "[ \$(systemctl show -p NRestarts --value $wb) -gt $before ]"; until_ 15 answers; journalctl -u $wb | grep -q "Watchdog timeout"' # no WatchdogSec=
  check "alive, the watchdog leaves it" 'before=$(pid $wb); sleep 7; [ $before = $(pid $wb) ]; rm -r /run/systemd/system/$wb.d; systemctl daemon-reload; systemctl restart $wb' # no feeding in the daemon
  check "exposure at most 1.5, and what README.md says" 'systemd-analyze security --threshold=15 $wb > /tmp/said; is=$(sed -n "s/.*exposure level for.*: \([0-9.]*\) .*/\1/p" /tmp/said); echo "figure: $is"; grep -q "security weather-balloon.: $is)" /usr/share/doc/weather-balloon/README.md' # no CapabilityBoundingSet=
  check "the drop-in for loopback alone works" 'install -D -m 644 /usr/share/doc/weather-balloon/examples/systemd/local-only.conf /etc/systemd/system/$wb.d/local-only.conf; systemctl daemon-reload; systemctl restart $wb; until_ 10 answers; rm -r /etc/systemd/system/$wb.d; systemctl daemon-reload; systemctl restart $wb; until_ 10 answers' # IPAddressAllow= missing
  check "with the socket unit the first caller starts it, and none is refused" 'not test -e /usr/lib/systemd/system/weather-balloon.socket; install -m 644 /usr/share/doc/weather-balloon/examples/systemd/weather-balloon.socket /etc/systemd/system/; systemd-analyze verify --man=no /etc/systemd/system/weather-balloon.socket; systemctl daemon-reload; systemctl stop $wb; systemctl start weather-balloon.socket; not systemctl is-active -q $wb; answers; systemctl is-active -q $wb; systemctl restart $wb & for n in $(seq 50); do : <> /dev/tcp/127.0.0.1/8000; sleep 0.01; done; wait; answers; not grep -q "waits in vain" <(journalctl -u $wb -o cat); systemctl stop weather-balloon.socket $wb; rm /etc/systemd/system/weather-balloon.socket; systemctl daemon-reload; systemctl start $wb; until_ 10 answers' # sockets that are not taken over
  check "the drop-in brings a dead Nagios back" 'install -D -m 644 /usr/share/doc/weather-balloon/examples/systemd/nagios-restart.conf /etc/systemd/system/$nagios.d/restart.conf; systemctl daemon-reload; kill -9 $(pid $nagios); until_ 20 bash -c "[ \$(systemctl show -p NRestarts --value $nagios) = 1 ] && systemctl is-active -q $nagios"' # no Restart= in it
  check "the plugins for monitored machines work" 'for p in check_mem check_connections; do /usr/share/doc/weather-balloon/examples/plugins/$p | grep -q "OK.*|"; done' # a typing error
}

setting_up() {
  # Setup leaves the pace to whoever has set it.
  check "Nagios hands its perfdata over often" 'printf "%s_perfdata_file_processing_interval=2\n" service host >> $main; nagios_v'
  check "setup --dry-run tells and changes nothing" 'edited > /tmp/before; exits 5 weather-balloon setup --dry-run; grep -q "^+process_performance_data=1" /tmp/said; edited | diff /tmp/before -' # an edit before the dry run's end
  check "setup makes it so, and once" 'weather-balloon setup; grep -q "^process_performance_data=1" $main; nagios_v; exits 0 weather-balloon setup --dry-run' # a setting that is appended again
  check "setup --undo leaves all as it was" 'weather-balloon setup --undo; edited | diff /tmp/before -; nagios_v' # an undo that forgets a file
  check "it is set up again" 'weather-balloon setup; grep -q "^host_perfdata_file_processing_interval=2" $main; nagios_v; systemctl restart $nagios'
  check "without any Carbon the archive answers" 'result "load1=0.5"; until_ 60 bash -c "weather-balloon metrics vm-1 load.load1 --source archive | grep -q 0.5"' # spool not in ReadWritePaths
  check "doctor finds all in order" 'until_ 30 weather-balloon doctor; exits 0 weather-balloon doctor; sed -n "/^WARN/s/^/figure: /p" /tmp/said; all_in_order' # a spool of another mode
  check "doctor follows the host, as soon as Nagios's status has the result" 'until_ 60 weather-balloon doctor vm-1' # a hop that fails
}

performance_data() {
  check "a real Carbon runs" 'install -d -o _graphite -g _graphite /var/lib/graphite/whisper; systemctl start carbon-cache; until_ 30 bash -c "exec 3<>/dev/tcp/127.0.0.1/2004"'
  check "setup finds that Carbon" 'edited > /tmp/before-carbon; weather-balloon setup --local-graphite; grep -q "^address = \"127.0.0.1:2004\"" /etc/weather-balloon/weather-balloon.toml; systemctl restart carbon-cache $wb; until_ 10 answers; until_ 30 bash -c "exec 3<>/dev/tcp/127.0.0.1/2004"' # no probe of the pickle port
  check "a point goes from Nagios to Carbon" 'result "load1=0.7"; until_ 60 points "vm-1/load/load1"' # address not read
  check "doctor finds Carbon in order, too" 'until_ 30 weather-balloon doctor; exits 0 weather-balloon doctor; all_in_order' # MAX_CREATES_PER_MINUTE is left
  check "the perfdata check is OK" 'weather-balloon check perfdata' # bad_lines by a wrong template
  check "little memory with every part on" 'cat $conf > /tmp/conf; every_part; weather-balloon check-config; systemctl restart $wb; until_ 20 answers; until_ 30 both_clouds_fail; exits 1 weather-balloon doctor; sleep 2; kb=$(rss); echo "figure: $kb kB of $idle_kb, $(grep RssAnon /proc/$(pid $wb)/status)"; [ $kb -lt $idle_kb ]; cat /tmp/conf > $conf; rm /etc/weather-balloon/cloud.secret; systemctl restart $wb; until_ 20 answers; weather-balloon clouds release east || true; weather-balloon clouds release aws || true' # a 30 MB buffer in a client
}

backing_up() {
  check "root makes a backup of the live service" 'weather-balloon backup /root/one.backup --metrics; [ "$(stat -c "%U %a" /root/one.backup)" = "root 600" ]; all_the_services; answers' # a lock of root's in state
  check "the backup service makes one" 'systemctl start weather-balloon-backup.service; ls /var/backups/weather-balloon/weather-balloon-*.backup; all_the_services; [ "$(systemctl is-enabled weather-balloon-backup.timer)" = disabled ]' # no /var/backups/weather-balloon in tmpfiles
  check "a restore is refused while it runs" 'exits 75 weather-balloon restore /root/one.backup; answers' # no lock
  check "root copies the ledger" 'systemctl stop $wb; weather-balloon store copy sqlite:$state/ledger.db sqlite:$state/copy.db; all_the_services; rm -f $state/copy.db*' # no give_to_owner_of
  check "root restores" 'weather-balloon restore /root/one.backup; all_the_services' # files of root's
  check "the restored service starts, with its hosts and points" 'systemctl start $wb; until_ 10 answers; weather-balloon hosts list | grep -q vm-1; until_ 30 has_points; until_ 30 weather-balloon check store; all_the_services' # a schema that is not read back
}

upgrading() {
  check "the state is as the version before has left it" '[ "$($installed)" = 0.0.9-1 ]; schema > /tmp/newest; old_state; [ "$(schema)" = 2 ]; generations > /tmp/generations; [ -s /tmp/generations ]; pid $wb > /tmp/pid' # (the ground of what follows)
  check "an upgrade keeps the edited configuration and puts the new one beside it" '$install_second; [ "$($installed)" = 0.1.0-1 ]; grep -q "127.0.0.1:2004" $conf; grep -q "of the version before" $conf; new=$(ls $conf.dpkg-dist $conf.rpmnew 2> /dev/null || true); [ -n "$new" ]; not grep -q "of the version before" $new' # no conffile
  check "an upgrade restarts what runs" 'until_ 20 answers; systemctl is-active -q $wb; [ "$(pid $wb)" != "$(cat /tmp/pid)" ]' # no try-restart in postinst, postun
  check "an upgrade brings the state to its schema" '[ "$(schema)" = "$(cat /tmp/newest)" ]; [ "$(asked "SELECT count(*) FROM appliance")" = 1 ]; all_the_services' # no run of the migrations in sqlite
  check "an upgrade loses no hosts" 'generations | diff /tmp/generations -; weather-balloon hosts list | grep -q vm-1; weather-balloon hosts history | grep -q live; until_ 30 has_points' # rm in postrm upgrade
  check "an upgrade leaves Nagios valid" 'nagios_v; systemctl is-active -q $nagios; watched vm-1' # rm of templates in preun
  check "a downgrade says that the state is newer" '$downgrade; changed "INSERT INTO refinery_schema_history VALUES (99, '"'from_the_future', '2030-01-01T00:00:00Z', '1'"')"; systemctl restart $wb || true; until_ 20 bash -c "journalctl -u $wb -o cat | grep -q \"written by a newer weather-balloon\""; changed "DELETE FROM refinery_schema_history WHERE version = 99"; until_ 20 answers' # set_abort_missing(false)
  check "a migration that fails is told, and takes nothing" 'old_state; changed "CREATE TABLE absence (x)"; $install_second; until_ 30 bash -c "journalctl -u $wb -o cat | grep -q \"cannot be brought to this version.s schema; the data in it is as it was\""; [ "$(schema)" = 2 ]; generations | diff /tmp/generations -; nagios_v; systemctl is-active -q $nagios; watched vm-1' # no set_grouped(true)
  check "mended, it comes back by itself, with its hosts" 'changed "DROP TABLE absence"; until_ 20 answers; [ "$(schema)" = "$(cat /tmp/newest)" ]; generations | diff /tmp/generations -; weather-balloon hosts list | grep -q vm-1' # no Restart=
}

leaving() {
  check "removing stops it" '$remove; not systemctl is-active -q $wb; not test -e /usr/bin/weather-balloon' # no prerm
  check "removing takes the edits of setup back" 'edited | grep "^$main " | diff - <(grep "^$main " /tmp/before)' # no setup --undo in prerm
  check "after removing Nagios is valid and restarts" 'nagios_v; systemctl restart $nagios; systemctl is-active -q $nagios' # hosts.cfg without templates
  check "after removing the data stays" 'test -s $state/state.db; test -s $state/ledger.db' # rm in postrm remove
  if [ "$kind" = rpm ]; then
    check "presets that say no are obeyed" 'sed -i "s/^enable/disable/" /etc/systemd/system-preset/00-site.preset; systemctl daemon-reload; $install_second; [ "$(systemctl is-enabled $wb)" = disabled ]; systemctl start $wb; until_ 10 answers; weather-balloon hosts list | grep -q vm-1' # enable in post
  else
    check "an install again finds its hosts" '$install_second; systemctl start $wb; until_ 10 answers; weather-balloon hosts list | grep -q vm-1' # as above
    check "a clash is set aside at the installation" '$remove; dpkg -P weather-balloon; printf "define hostgroup {\n hostgroup_name atmo-vms\n alias x\n}\n" > $etc/conf.d/theirs.cfg; nagios_v; $install_first > /tmp/said 2>&1; grep -q "set aside" /tmp/said; nagios_v; rm $etc/conf.d/theirs.cfg' # no spare_nagios
    check "purging leaves nothing" 'dpkg -P weather-balloon; left=$(find /etc /usr /var /run /root -xdev -name "*weather-balloon*" -not -path "*/log/*" -not -path "/var/lib/graphite/*"); [ -z "$left" ] || { echo "$left"; false; }' # no rm in postrm
    check "purging after setup leaves nothing of it" '$install_first; weather-balloon setup; dpkg -P weather-balloon; not test -e /etc/weather-balloon; not grep -q "^process_performance_data=1" $main' # no rm of setup in postrm
    check "after purging Nagios is valid" 'nagios_v' # a cfg_dir that is gone
  fi
}
