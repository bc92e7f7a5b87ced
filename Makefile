# make build   the release binary: target/release/weather-balloon
# make test    everything that CI checks; installs what is missing (apt)
# make deb, make rpm
#              the packages, into target/packages
# make test-packages
#              the packages in a booted system (root, Debian; else skipped)
# make demo    Nagios, NRPE and the appliance on loopback, until Ctrl-C; with
#              GRAPHITE=1 Carbon and graphite-web, too; with ONCE=1 it ends by
#              itself
# make bench   the figures, into benches/RESULTS.md
# make clean

CARGO ?= cargo
# CI shows every test's name; at a desk only what fails is worth reading.
QUIET := $(if $(CI),,--quiet)

.PHONY: build deb rpm test test-packages demo bench clean
.NOTPARALLEL:

build:
	$(CARGO) build --release --locked

test:
	bash tests/install.sh
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets $(QUIET) -- -D warnings
	$(CARGO) test --locked $(QUIET)

deb rpm:
	bash packaging/build.sh $@

test-packages:
	bash tests/packages.sh

demo:
	ONCE=$(ONCE) GRAPHITE=$(GRAPHITE) bash demo/run.sh

bench:
	bash tests/install.sh
	$(CARGO) build --release --locked
	$(CARGO) bench --locked --bench figures
	$(CARGO) bench --locked --bench perfdata
	$(CARGO) bench --locked --bench drain
	$(CARGO) bench --locked --bench archive
	$(CARGO) bench --locked --bench usage
	$(CARGO) bench --locked --bench clouds
	$(CARGO) bench --locked --bench page

clean:
	$(CARGO) clean
