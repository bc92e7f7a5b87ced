#!/bin/bash
# Builds the program and packs it. Prints the package's path.
#
# usage: packaging/build.sh deb|rpm
#   PROFILE=release   the cargo profile; dev for a quick look
#   PROGRAM=          one that is built already, in place of building
#   VERSION=          of the package, in place of the program's
#   RELEASE=1         the package's own version, behind that
#   CONFIG=packaging/weather-balloon.toml
#   OUT=target/packages
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-}
case $kind in deb | rpm) ;; *) echo "usage: packaging/build.sh deb|rpm" >&2; exit 2 ;; esac
profile=${PROFILE:-release}
out=${OUT:-target/packages}

bash packaging/install-tools.sh
built=${PROGRAM:-}
if [ -z "$built" ]; then
  cargo build --locked --quiet --profile "$profile" --bin weather-balloon
  built=target/$([ "$profile" = dev ] && echo debug || echo "$profile")/weather-balloon
fi

# Only what is given away is worth the time that it takes to make it small.
if [ "$profile" = dev ]; then level=-0 compression=gzip; else level=-9e compression=xz; fi
stage=target/packages/stage-$kind
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | sed 1q)}
config=${CONFIG:-packaging/weather-balloon.toml}
case $(uname -m) in
  x86_64) arch=amd64 ;;
  aarch64) arch=arm64 ;;
  *) echo "build.sh: no package is made for $(uname -m)" >&2; exit 1 ;;
esac
# The same commit gives the same bytes.
mtime=$(git log -1 --format=%cI 2> /dev/null || date -u +%FT%TZ)
nagios_etc=$([ "$kind" = deb ] && echo /etc/nagios4 || echo /etc/nagios)

rm -rf "$stage"
share=$stage/share
doc=$share/doc/weather-balloon
man=$share/man
mkdir -p "$stage/licenses" "$doc/examples" "$man"

strip --strip-all -R .comment -o "$stage/weather-balloon" "$built"
bash packaging/check-glibc.sh "$stage/weather-balloon"
program=$stage/weather-balloon

if [ "$kind" = deb ]; then
  cp "$config" "$stage/weather-balloon.toml"
else
  sed -f packaging/rpm/paths.sed "$config" > "$stage/weather-balloon.toml"
fi
cp LICENSE "$stage/licenses/"

# The program writes its own manual pages and completions.
write_page() { mkdir -p "$man/man$2"; "$program" man "$1" | gzip -9n > "$man/man$2/$1.$2.gz"; }
write_page weather-balloon 1
write_page weather-balloon.toml 5
complete() { mkdir -p "$share/${2%/*}"; "$program" completions "$1" > "$share/$2"; }
complete bash bash-completion/completions/weather-balloon
if [ "$kind" = deb ]; then
  complete zsh zsh/vendor-completions/_weather-balloon
else
  complete zsh zsh/site-functions/_weather-balloon
fi
complete fish fish/vendor_completions.d/weather-balloon.fish

cp README.md docs/migration.md "$doc/"
gzip -9n < CHANGELOG.md > "$doc/changelog.gz"
packaging/third-party.py "$(rustc -vV | sed -n 's/^host: //p')" | gzip -9n > "$doc/third-party-licenses.gz"
cp -r packaging/carbon packaging/grafana packaging/prometheus systemd/examples "$doc/examples/"
mv "$doc/examples/examples" "$doc/examples/systemd"
cp -r packaging/examples/plugins packaging/examples/nrpe-weather-balloon.cfg "$doc/examples/"
# A line "      @FILE@" becomes that file, indented as the line is.
while IFS= read -r line; do
  case $line in
    *@*@) file=${line#*@}; sed "s/^\(.\)/      \1/" "packaging/examples/${file%@}" ;;
    *) printf '%s\n' "$line" ;;
  esac
done < packaging/examples/cloud-init.yaml.in > "$doc/examples/cloud-init.yaml"
if [ "$kind" = deb ]; then
  cp packaging/deb/README.Debian packaging/deb/copyright "$doc/"
  mkdir -p "$share/lintian/overrides"
  cp packaging/deb/lintian-overrides "$share/lintian/overrides/weather-balloon"
fi
chmod -R u=rwX,go=rX "$share"

mkdir -p "$out"
# nfpm itself fills in some of its fields only.
recipe=target/packages/nfpm-$kind.yaml
sed -e "s|\${ARCH}|$arch|; s|\${VERSION}|$version|; s|\${RELEASE}|${RELEASE:-1}|; s|\${MTIME}|$mtime|" \
  -e "s|\${COMPRESSION}|$compression|; s|\${KIND}|$kind|; s|\${STAGE}|$stage|; s|\${NAGIOS_ETC}|$nagios_etc|" packaging/nfpm.yaml > "$recipe"
(cd "$share" && find . -type f | sort) | while IFS= read -r file; do
  file=${file#./}
  type=
  [ "$kind" = deb ] || case $file in doc/* | man/*) type='type: doc, ' ;; esac
  mode=$(stat -c %a "$share/$file")
  printf '  - { src: "%s", dst: "/usr/share/%s", %sfile_info: { mode: 0%s } }\n' \
    "$share/$file" "$file" "$type" "$mode"
done >> "$recipe"
package=$(target/tools/python/bin/nfpm package -f "$recipe" -p "$kind" -t "$out/" |
  sed -n 's/^created package: //p')
if [ "$kind" = deb ]; then
  (
    package=$(realpath "$package")
    cd "$stage"
    ar x "$package"
    xz "$level" --threads=1 data.tar
    # D: no times and users of this machine; the order is dpkg's.
    rm "$package"
    ar qcDS "$package" debian-binary control.tar.* data.tar.xz
  )
fi
printf '%s\n' "$package"
