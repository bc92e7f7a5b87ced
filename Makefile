# make build   the release binary: target/release/weather-balloon
# make test    everything that CI checks; installs what is missing (apt)
# make deb, make rpm
#              the packages, into target/packages
# make test-packages
#              the packages in a booted system (root, Debian; else skipped)
# make demo    Nagios, NRPE and the appliance on loopback, until Ctrl-C; with
#              GRAPHITE=1 Carbon and graphite-web, too; with ONCE=1 it ends by
#              itself
# make screenshots
#              the README's pictures, by the browser's test, of the demo's data
# make bench   the figures, into benches/RESULTS.md
# make prove   the long campaigns of docs/reliability.md, hours; make prove-a ...
#              prove-i and prove-n is one part, make prove-mutations what they
#              would miss, make prove-deny what cargo-deny says of the
#              dependencies
# make clean

CARGO ?= cargo
# CI shows every test's name; at a desk only what fails is worth reading.
QUIET := $(if $(CI),,--quiet)

PROOFS := prove-a prove-b prove-c prove-d prove-e prove-f prove-g prove-h prove-i \
	prove-n prove-deny

.PHONY: build deb rpm test test-packages demo screenshots bench prove $(PROOFS) prove-mutations clean
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

screenshots:
	bash tests/install.sh
	$(CARGO) test --locked --test page_browser -- --ignored pictures_for_the_readme

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

prove: $(PROOFS) prove-mutations
	bash prove/run.sh table

$(PROOFS):
	bash tests/install.sh
	bash prove/run.sh $(@:prove-%=%)

prove-mutations:
	bash tests/install.sh
	bash prove/mutations.sh

clean:
	$(CARGO) clean
