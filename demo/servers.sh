# The real servers, each in the foreground on loopback with its own directory.
# Nothing of the system's configuration is read or written. Sourced by run.sh.

plugins=/usr/lib/nagios/plugins

write_nrpe() {
  mkdir -p "$D/nrpe"
  cat > "$D/nrpe/nrpe.cfg" <<EOT
log_file=$D/log/nrpe-own.log
pid_file=$D/nrpe/nrpe.pid
server_port=$nrpe_port
server_address=127.0.0.1
nrpe_user=$user
nrpe_group=$group
allowed_hosts=127.0.0.0/8
dont_blame_nrpe=0
command_timeout=60
connection_timeout=300
command[check_load]=$plugins/check_load -w 50,50,50 -c 90,90,90
command[check_disk]=$plugins/check_disk -w 2% -c 1% -p /
command[check_users]=$plugins/check_users -w 50 -c 100
command[check_procs]=$plugins/check_procs -w 1500 -c 2000
command[check_procs_zombie]=$plugins/check_procs -w 500 -c 1000 -s Z
command[check_zombie_procs]=$plugins/check_procs -w 500 -c 1000 -s Z
command[check_mem]=/bin/echo "MEM OK | used=12345KB;;;0;24000000 free=23987655KB swap_used=0KB"
command[check_connections]=/bin/echo "OK - 3 established | established=3 waiting=1 listeners=5"
command[check_atmo_idle]=/bin/echo "OK | idle=12.5;;;0;100"
EOT
}

write_nagios() {
  local n=$D/nagios
  mkdir -p "$n"/{objects,templates,hosts,checkresults,perfdata,rw,archives}
  # As setup makes it: for Nagios and the appliance both to write.
  chmod 2770 "$n/perfdata"
  chmod 2710 "$n/rw"
  printf '$USER1$=%s\n' "$plugins" > "$n/resource.cfg"
  cat > "$n/nagios.cfg" <<EOT
cfg_dir=$n/objects
cfg_dir=$n/templates
cfg_dir=$n/hosts
resource_file=$n/resource.cfg
log_file=$D/log/nagios-own.log
object_cache_file=$n/objects.cache
precached_object_file=$n/objects.precache
status_file=$n/status.dat
status_update_interval=2
nagios_user=$user
nagios_group=$group
check_external_commands=1
command_file=$n/rw/nagios.cmd
query_socket=$n/rw/nagios.qh
lock_file=$n/nagios.lock
temp_file=$n/nagios.tmp
temp_path=$n
check_result_path=$n/checkresults
event_broker_options=-1
log_rotation_method=n
log_archive_path=$n/archives
use_syslog=0
retain_state_information=1
state_retention_file=$n/retention.dat
interval_length=10
max_service_check_spread=1
max_host_check_spread=1
check_for_updates=0
enable_notifications=0
date_format=iso8601
illegal_object_name_chars=\`~!\$%^&*|'"<>?,()=
illegal_macro_output_chars=\`~\$&|'"<>
EOT
  cat > "$n/objects/around.cfg" <<'EOT'
define timeperiod {
    timeperiod_name 24x7
    alias           always
    sunday          00:00-24:00
    monday          00:00-24:00
    tuesday         00:00-24:00
    wednesday       00:00-24:00
    thursday        00:00-24:00
    friday          00:00-24:00
    saturday        00:00-24:00
}
define timeperiod {
    timeperiod_name none
    alias           never
}
define command {
    command_name notify-nobody
    command_line /bin/true
}
define command {
    command_name check-host-alive
    command_line $USER1$/check_ping -H '$HOSTADDRESS$' -w 5000,100% -c 5000,100% -p 1
}
define contact {
    contact_name                  nagiosadmin
    service_notification_period   none
    host_notification_period      none
    service_notification_options  n
    host_notification_options     n
    service_notification_commands notify-nobody
    host_notification_commands    notify-nobody
}
define contactgroup {
    contactgroup_name admins
    alias             admins
    members           nagiosadmin
}
EOT
  # The shipped settings and templates. Only where they reach out of Nagios they
  # are bent to this place: performance data goes through the demo's own spool,
  # all fifty hosts are served by the one NRPE, and the sentinel runs the binary
  # that was just built.
  local template spool='s|/var/spool/weather-balloon/perfdata|'$n/perfdata'|g'
  sed -e "$spool" nagios-templates/nagios.cfg.snippet >> "$n/nagios.cfg"
  for template in nagios-templates/*.cfg; do
    sed -e "$spool" -e "/check_nrpe /s|-H '*\\\$HOSTADDRESS\\\$'*|-H 127.0.0.1 -p $nrpe_port|" \
      -e "s|/usr/bin/weather-balloon|$D/weather-balloon --config $D/weather-balloon.toml|" \
      "$template" > "$n/templates/${template##*/}"
  done
}

write_carbon() {
  local c=$D/graphite
  mkdir -p "$c"/{conf,whisper,run,web}
  cat > "$c/conf/carbon.conf" <<EOT
[cache]
STORAGE_DIR = $c
LOCAL_DATA_DIR = $c/whisper/
CONF_DIR = $c/conf/
LOG_DIR = $D/log/
PID_DIR = $c/run/
DATABASE = whisper
ENABLE_LOGROTATION = False
USER =
MAX_CACHE_SIZE = inf
MAX_UPDATES_PER_SECOND = 5000
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = $line_port
ENABLE_UDP_LISTENER = False
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = $pickle_port
USE_INSECURE_UNPICKLER = False
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = $query_port
USE_FLOW_CONTROL = True
LOG_UPDATES = False
LOG_CREATES = False
LOG_CACHE_HITS = False
CACHE_WRITE_STRATEGY = sorted
CARBON_METRIC_INTERVAL = 0
ENABLE_TAGS = False
EOT
  cat packaging/carbon/carbon.conf.snippet >> "$c/conf/carbon.conf"
  cat packaging/carbon/storage-schemas.conf - > "$c/conf/storage-schemas.conf" <<'EOT'

[default]
pattern = .*
retentions = 60s:1d
EOT
  : > "$c/conf/storage-aggregation.conf"
  cat > "$c/web/local_settings.py" <<EOT
SECRET_KEY = 'for this demo only'
TIME_ZONE = 'UTC'
ALLOWED_HOSTS = ['127.0.0.1']
CONF_DIR = '$c/web'
STORAGE_DIR = '$c'
STATIC_ROOT = '/usr/share/graphite-web/static'
WHISPER_DIR = '$c/whisper'
STANDARD_DIRS = ['$c/whisper']
INDEX_FILE = '$c/web/index'
LOG_DIR = '$D/log'
LOG_ROTATION = False
CARBONLINK_HOSTS = ['127.0.0.1:$query_port']
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': '$c/web/graphite.db',
                         'USER': '', 'PASSWORD': '', 'HOST': '', 'PORT': ''}}
EOT
  web_env=(env "HOME=$c" "PYTHONPATH=$c/web" DJANGO_SETTINGS_MODULE=graphite.settings
    GRAPHITE_SETTINGS_MODULE=local_settings)
}

start_graphite() {
  start carbon env "HOME=$D" "GRAPHITE_ROOT=$D/graphite" "GRAPHITE_CONF_DIR=$D/graphite/conf" \
    /usr/bin/carbon-cache --config="$D/graphite/conf/carbon.conf" --logdir="$D/log" --nodaemon start
  "${as[@]}" "${web_env[@]}" /usr/bin/python3 -m django migrate --run-syncdb --skip-checks -v 0 \
    > "$D/log/migrate.log" 2>&1 || die "graphite-web cannot make its database"
  start graphite-web "${web_env[@]}" /usr/bin/gunicorn --workers 2 --bind "127.0.0.1:$web_port" \
    graphite.wsgi:application
}

await_graphite() {
  await 30 "Carbon" port_open "$pickle_port"
  await 120 "graphite-web" curl -sf "http://127.0.0.1:$web_port/metrics/find?query=*"
}

write_appliance() {
  mkdir -p "$D/state"
  cat > "$D/weather-balloon.toml" <<EOT
[rpc]
listen = ["127.0.0.1:$rpc_port"]
[http]
listen = ["127.0.0.1:$page_port"]

[nagios]
config = "$D/nagios/nagios.cfg"
hosts_file = "$D/nagios/hosts/hosts.cfg"

[perfdata]
spool = "$D/nagios/perfdata"

[state]
directory = "$D/state"

[log]
level = "info"
format = "text"
EOT
  if [ -n "$graphite" ]; then
    cat >> "$D/weather-balloon.toml" <<EOT

[carbon]
address = "127.0.0.1:$pickle_port"

[graphite]
url = "http://127.0.0.1:$web_port"
EOT
  fi
}

# All servers of the cloud have the one address at which NRPE answers.
write_cloud() {
  mkfifo "$D/openstack.in"
  cat >> "$D/weather-balloon.toml" <<EOT

[[cloud]]
name = "demo"
kind = "openstack"
interval = "10s"
auth_url = "http://127.0.0.1:$cloud_port/identity"
username = "weatherballoon"
password_file = "$D/openstack-password"
project = "admin"
EOT
}

cloud_told() { [ -n "$(sed -n 2p "$D/log/openstack.log")" ]; }

# It ends when its input does, so its input is held open here.
start_cloud() {
  exec {cloud_input}<> "$D/openstack.in"
  start openstack bash -c 'exec "$@" <&"$0"' "$cloud_input" \
    "$D/fake-openstack" "$cloud_port" 8 120 127.0.0.1
  await 20 "the cloud" cloud_told
  (umask 077 && sed -n 2p "$D/log/openstack.log" > "$D/openstack-password")
  chown "$user:$group" "$D/openstack-password"
}
