# tlsrpt-gen: SMTP TLS reports (RFC 8460) for Postfix, Exim and others.  `make help` lists the targets.

VERSION = 0.1.0

# ---- where things go -------------------------------------------------------------------------------------
BUILD      ?= build
DESTDIR    ?=
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/sbin
LIBEXECDIR ?= $(PREFIX)/libexec/tlsrpt-gen
SYSCONFDIR ?= /etc
MANDIR     ?= $(PREFIX)/share/man
DATADIR    ?= $(PREFIX)/share/tlsrpt-gen
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
STATEDIR   ?= /var/lib/tlsrpt-gen
RUNDIR     ?= /run/tlsrpt-gen

# ---- what it needs ---------------------------------------------------------------------------------------
# pkg-config name:oldest version that works
DEPENDENCIES = jansson:2.13 zlib:1.2.11 sqlite3:3.37 libcurl:7.85 libcares:1.18 openssl:3.0 \
               libesmtp-1.0:1.1 libidn2:2.3 $(if $(filter yes,$(WITH_PGSQL)),libpq:14)

# A fleet of hosts on PostgreSQL: yes or no; yes where libpq is found.
PGSQL_TOLD := $(WITH_PGSQL)
ifeq ($(WITH_PGSQL),)
WITH_PGSQL := $(shell pkg-config --atleast-version=14 libpq 2>/dev/null && echo yes || echo no)
endif
ifeq ($(filter yes no,$(WITH_PGSQL)),)
$(error WITH_PGSQL is "$(WITH_PGSQL)"; use yes or no)
endif
LIBPQ = $(if $(filter yes,$(WITH_PGSQL)),libpq)

# The libraries each program links; nothing else reaches it.
LIBS_tlsrpt-gen         = jansson sqlite3 zlib openssl libcurl libcares libidn2 $(LIBPQ)
LIBS_tlsrpt-gen-collect = jansson sqlite3 libidn2
LIBS_tlsrpt-gen-smtp    = libesmtp-1.0 openssl
LIBS_tlsrpt-gen-log     = jansson libidn2 zlib libcares
LIBS_test               = jansson sqlite3 zlib openssl libcurl libcares libidn2 libesmtp-1.0 cmocka $(LIBPQ)

# Debian packages: to build, and to test besides.
BUILD_PACKAGES = build-essential pkg-config libjansson-dev libesmtp-dev libcurl4-openssl-dev libc-ares-dev \
                 libsqlite3-dev libssl-dev zlib1g-dev uthash-dev libidn2-dev
# Not needed, but used where it is there: a fleet of hosts on PostgreSQL (WITH_PGSQL).
PGSQL_PACKAGES = libpq-dev
# Told "no", tests do without it and without a server; those that want them are skipped.
PGSQL_TEST_PACKAGES = $(if $(filter no,$(PGSQL_TOLD)),,$(PGSQL_PACKAGES) postgresql)
DEMO_PACKAGES  = $(BUILD_PACKAGES) python3 python3-aiosmtpd nsd openssl
TEST_PACKAGES  = $(DEMO_PACKAGES) $(PGSQL_TEST_PACKAGES) git libcmocka-dev python3-pytest python3-pytest-xdist \
                 python3-dnspython python3-dkim libmail-dkim-perl python3-cryptography sqlite3 jq e2fsprogs procps
LINT_PACKAGES  = $(TEST_PACKAGES) clang clang-format clang-tidy cppcheck mandoc groff shellcheck flake8 valgrind
BENCH_PACKAGES = $(TEST_PACKAGES) nginx-light curl dnsperf
DEB_PACKAGES   = $(BUILD_PACKAGES) $(PGSQL_PACKAGES) libcmocka-dev python3 dpkg-dev debhelper lintian
MTA_TEST_PACKAGES     = $(DEMO_PACKAGES) debootstrap util-linux iproute2
INSTALL_TEST_PACKAGES = $(DEB_PACKAGES) debootstrap systemd-container python3 python3-aiosmtpd nsd openssl

# ---- sources ---------------------------------------------------------------------------------------------
MAINS    = $(sort $(wildcard src/main/tlsrpt-gen*.c))
PROGRAMS = $(patsubst src/main/%.c,$(BUILD)/%,$(MAINS))
LIBRARY  = $(BUILD)/libtlsrpt-gen.a
# pg.c is all that knows libpq; where there is none, pg_none.c stands in.
SOURCES  = $(filter-out $(MAINS) $(if $(LIBPQ),src/fleet/pg_none.c,src/fleet/pg.c),$(sort $(wildcard src/*/*.c)))
OBJECTS  = $(patsubst %.c,$(BUILD)/%.o,$(SOURCES))
UNIT     = $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(sort $(wildcard tests/unit/*/*_test.c)))
REPLAY   = $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(sort $(wildcard tests/fuzz/*_fuzz.c)))
FAULT    = $(patsubst tests/fault/%.c,$(BUILD)/tests/fault/%,$(sort $(wildcard tests/fault/*_test.c)))
TOOLS    = $(patsubst tests/tools/%.c,$(BUILD)/tests/tools/%,$(sort $(wildcard tests/tools/*.c)))
BENCH    = $(patsubst tests/bench/%.c,$(BUILD)/tests/bench/%,$(sort $(wildcard tests/bench/*_bench.c)))
C_FILES  = $(sort $(wildcard src/*/*.[ch] include/*/*.h tests/*/*.[ch] tests/unit/*/*.[ch]))

# ---- flags -----------------------------------------------------------------------------------------------
CC        ?= cc
CFLAGS    ?= -O2 -g
WARNINGS   = -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
             -Wformat=2 -Wswitch-enum -Wvla -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef
HARDENING  = -fstack-protector-strong -fPIE -fvisibility=hidden
ifeq ($(SANITIZE),)
HARDENING += -fstack-clash-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
SANITIZERS = $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
DEFINES    = -D_GNU_SOURCE -DTLSRPT_GEN_VERSION='"$(VERSION)"' -DTLSRPT_GEN_SYSCONFDIR='"$(SYSCONFDIR)"' \
             -DTLSRPT_GEN_STATEDIR='"$(STATEDIR)"' -DTLSRPT_GEN_RUNDIR='"$(RUNDIR)"' \
             -DTLSRPT_GEN_LIBEXECDIR='"$(LIBEXECDIR)"' -DTLSRPT_GEN_DATADIR='"$(DATADIR)"'
ALL_CFLAGS = -std=c11 $(CFLAGS) $(WARNINGS) $(HARDENING) $(SANITIZERS) $(EXTRA_CFLAGS) \
             -ffile-prefix-map=$(CURDIR)=. -pthread -Iinclude
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITIZERS) $(LDFLAGS) -pthread
PKG_CFLAGS = $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(foreach d,$(DEPENDENCIES),$(firstword $(subst :, ,$(d)))) 2>/dev/null))
libs       = $(shell pkg-config --libs $(1))

# ---- build -----------------------------------------------------------------------------------------------
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all check check-unit check-asan bench conformance demo deps deps-demo deps-test deps-lint lint format clean help \
        check-dependencies FORCE

all: programs ## build the programs into build/

.PHONY: programs
programs: $(PROGRAMS)

check-dependencies:
	@command -v pkg-config >/dev/null || { echo "pkg-config is missing: run 'make deps' (Debian), or install it" >&2; exit 1; }
	@missing=; for d in $(DEPENDENCIES); do \
	    pkg-config --atleast-version=$${d#*:} $${d%:*} || missing="$$missing $${d%:*} (>= $${d#*:})"; done; \
	 [ -z "$$missing" ] || { echo "missing libraries:$$missing; run 'make deps' (Debian), or install their development files" >&2; exit 1; }

# Everything is rebuilt when the flags change.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS) $(DEFINES) $(ALL_LDFLAGS) $(LIBPQ)' | sed "s/'//g" > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# Tests see the private headers too: "room/x.h".
$(BUILD)/tests/%.o: INCLUDE_PRIVATE = -Isrc

$(BUILD)/%.o: %.c $(BUILD)/flags | check-dependencies
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(INCLUDE_PRIVATE) $(DEFINES) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

$(LIBRARY): $(OBJECTS)
	rm -f $@
	ar rcD $@ $(OBJECTS)

$(PROGRAMS): $(BUILD)/%: $(BUILD)/src/main/%.o $(LIBRARY)
	$(CC) $(ALL_LDFLAGS) -o $@ $< $(LIBRARY) $(call libs,$(LIBS_$*))

$(UNIT) $(TOOLS) $(BENCH): $(BUILD)/%: $(BUILD)/%.o $(LIBRARY)
	$(CC) $(ALL_LDFLAGS) -o $@ $< $(LIBRARY) $(call libs,$(LIBS_test))

# Here malloc and its kin fail on order.
$(FAULT): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/tests/fault/fault.o $(LIBRARY)
	$(CC) $(ALL_LDFLAGS) $(foreach f,malloc calloc realloc strdup,-Wl,--wrap=$(f)) -o $@ $< $(BUILD)/tests/fault/fault.o \
	    $(LIBRARY) $(call libs,$(LIBS_test))

# Makes calls of whole programs fail (LD_PRELOAD).
SHIM = $(BUILD)/tests/fault/shim.so
$(SHIM): tests/fault/shim.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) -std=c11 $(CFLAGS) $(WARNINGS) -D_GNU_SOURCE -U_FORTIFY_SOURCE -fPIC -shared -pthread -o $@ $<

# A fuzz target replays files; with FUZZER=1 (clang) it is driven by libFuzzer instead.
REPLAY_MAIN = $(if $(FUZZER),,$(BUILD)/tests/fuzz/replay.o)
$(REPLAY): $(BUILD)/%: $(BUILD)/%.o $(REPLAY_MAIN) $(LIBRARY)
	$(CC) $(ALL_LDFLAGS) $(if $(FUZZER),-fsanitize=fuzzer) -o $@ $< $(REPLAY_MAIN) $(LIBRARY) $(call libs,$(LIBS_test))

.SECONDARY:
-include $(shell find $(BUILD)/src $(BUILD)/tests -name '*.d' -type f 2>/dev/null)

# ---- install ---------------------------------------------------------------------------------------------
PUBLIC_PROGRAMS = $(filter-out %/tlsrpt-gen-smtp,$(PROGRAMS))
UNITS    = $(sort $(wildcard conf/systemd/*.socket conf/systemd/*.service conf/systemd/*.timer conf/systemd/*@*.d/*.conf))
EXAMPLES = $(sort $(foreach d,cron.d exim logrotate.d postfix rsyslog.d runit sysctl.d,$(wildcard conf/$(d)/*)) \
             $(wildcard conf/systemd/*.socket.d/*.conf))

# Every file that is installed, FILE:PLACE:MODE; install and uninstall both go by this list.
INSTALLED = \
    $(foreach f,$(PUBLIC_PROGRAMS),$(f):$(BINDIR)/$(notdir $(f)):0755) \
    $(foreach f,$(filter %/tlsrpt-gen-smtp,$(PROGRAMS)),$(f):$(LIBEXECDIR)/$(notdir $(f)):0755) \
    $(foreach f,$(sort $(wildcard man/*.[0-9])),$(f):$(MANDIR)/man$(subst .,,$(suffix $(f)))/$(notdir $(f)):0644) \
    $(foreach f,$(UNITS),$(BUILD)/$(f):$(UNITDIR)/$(f:conf/systemd/%=%):0644) \
    $(foreach f,$(EXAMPLES),$(BUILD)/$(f):$(DATADIR)/$(f:conf/%=%):$(if $(filter conf/runit/%,$(f)),0755,0644)) \
    conf/sysusers.d/tlsrpt-gen.conf:$(SYSUSERSDIR)/tlsrpt-gen.conf:0644 \
    conf/tmpfiles.d/tlsrpt-gen.conf:$(TMPFILESDIR)/tlsrpt-gen.conf:0644
CONFIG    = $(SYSCONFDIR)/tlsrpt-gen/tlsrpt-gen.conf
# Folders of our own that may go when they are empty, deepest first.
OWN_DIRS  = $(patsubst %/,%,$(sort $(dir $(foreach f,$(EXAMPLES),$(DATADIR)/$(f:conf/%=%))))) $(DATADIR)/systemd \
            $(DATADIR) $(LIBEXECDIR) $(UNITDIR)/tlsrpt-gen-log@exim.service.d

# Units and examples name /usr/sbin, as a distribution installs them; here they get the place that was chosen.
$(BUILD)/conf/%: conf/% $(BUILD)/flags
	@mkdir -p $(@D)
	sed 's,/usr/sbin/tlsrpt-gen,$(BINDIR)/tlsrpt-gen,g' $< > $@

.PHONY: install uninstall
install: all $(foreach f,$(UNITS) $(EXAMPLES),$(BUILD)/$(f)) ## install below $(DESTDIR)$(PREFIX); an existing configuration is left alone
	@set -e; for row in $(INSTALLED); do \
	    file=$${row%%:*}; mode=$${row##*:}; place=$${row#*:}; place=$(DESTDIR)$${place%:*}; \
	    install -D -m "$$mode" "$$file" "$$place"; echo "$$place"; \
	 done
	@[ -e $(DESTDIR)$(CONFIG) ] && echo "$(DESTDIR)$(CONFIG) is left as it is" || \
	    { install -D -m 0644 conf/tlsrpt-gen.conf $(DESTDIR)$(CONFIG); echo "$(DESTDIR)$(CONFIG)"; }

uninstall: ## remove what install put there, except the configuration and the state
	@set -e; for row in $(INSTALLED); do place=$${row#*:}; rm -f "$(DESTDIR)$${place%:*}"; done
	@for dir in $(OWN_DIRS); do rmdir "$(DESTDIR)$$dir" 2>/dev/null || true; done
	@echo "left: $(DESTDIR)$(SYSCONFDIR)/tlsrpt-gen and $(DESTDIR)$(STATEDIR)"

# ---- archive and Debian package --------------------------------------------------------------------------
NAME_VERSION = tlsrpt-gen-$(VERSION)
TREE = if [ -e .git ]; then git ls-files -z --cached --others --exclude-standard; \
       else find . \( -path ./$(BUILD) -o -name __pycache__ \) -prune -o -type f -printf '%P\0'; fi
# A make of its own: no variable or flag of this one reaches it.
CLEAN_ENV = env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES -u BUILD -u DESTDIR -u PREFIX
LINTIAN ?= lintian
DEB_ARCH = $(shell dpkg --print-architecture)

.PHONY: dist deb
$(BUILD)/$(NAME_VERSION): FORCE
	@rm -rf $@ && mkdir -p $@
	@{ $(TREE); } | sort -zu | tar -c --null -T - | tar -x -C $@
	@chmod -R u=rwX,go=rX $@

dist: $(BUILD)/$(NAME_VERSION) ## the sources as build/tlsrpt-gen-VERSION.tar.gz, the same bytes each time
	tar -c --sort=name --owner=0 --group=0 --numeric-owner --mtime=@$$(dpkg-parsechangelog -l conf/debian/changelog -S Timestamp) \
	    -C $(BUILD) $(NAME_VERSION) | gzip -9n > $(BUILD)/$(NAME_VERSION).tar.gz

deb: deps-deb $(BUILD)/$(NAME_VERSION) ## a Debian package, build/deb/tlsrpt-gen_VERSION_ARCH.deb, checked with lintian
	@[ "$$(dpkg-parsechangelog -l conf/debian/changelog -S Version)" = "$(VERSION)" ] || \
	    { echo "conf/debian/changelog does not begin with version $(VERSION)" >&2; exit 1; }
	@rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb && cp -r $(BUILD)/$(NAME_VERSION) $(BUILD)/deb/
	@cp -r conf/debian $(BUILD)/deb/$(NAME_VERSION)/debian
	cd $(BUILD)/deb/$(NAME_VERSION) && DEB_BUILD_OPTIONS="$$DEB_BUILD_OPTIONS noautodbgsym" $(CLEAN_ENV) dpkg-buildpackage -b -us -uc
	$(LINTIAN) --allow-root --fail-on error,warning --show-overrides $(BUILD)/deb/tlsrpt-gen_$(VERSION)_$(DEB_ARCH).changes
	@rm -rf $(BUILD)/deb/$(NAME_VERSION)
	@ls -l $(BUILD)/deb/*.deb

# ---- packages --------------------------------------------------------------------------------------------
deps: ## install what building needs (Debian; root or sudo)
	@conf/install-packages $(BUILD_PACKAGES)
deps-demo:
	@conf/install-packages $(DEMO_PACKAGES)
deps-test: ## install what the tests need
	@conf/install-packages $(TEST_PACKAGES)
deps-lint: ## install what lint needs
	@conf/install-packages $(LINT_PACKAGES)

deps-bench:
	@conf/install-packages $(BENCH_PACKAGES)
deps-deb:
	@conf/install-packages $(DEB_PACKAGES)
deps-install-test:
	@conf/install-packages $(INSTALL_TEST_PACKAGES)
.PHONY: deps-mta-test deps-pgsql
deps-pgsql: ## install what a fleet on PostgreSQL needs besides to be built in
	@conf/install-packages $(PGSQL_PACKAGES)
deps-mta-test:
	@conf/install-packages $(MTA_TEST_PACKAGES)

# ---- try and test ----------------------------------------------------------------------------------------
demo: deps-demo ## see it work: datagrams in, reports out by mail and HTTPS, all on loopback
	@$(MAKE) --no-print-directory -s -j2 all
	@BUILD=$(abspath $(BUILD)) tests/demo

check: deps-test ## unit tests, flow tests, corpus replay, document checks
	@$(MAKE) --no-print-directory -s -j2 all check-programs
	@BUILD=$(abspath $(BUILD)) tests/run

check-unit: ## only the unit tests and the corpus replay
	@$(MAKE) --no-print-directory -s -j2 check-programs
	@BUILD=$(abspath $(BUILD)) tests/run --unit

.PHONY: check-programs
check-programs: $(UNIT) $(FAULT) $(SHIM) $(REPLAY) $(TOOLS)

.PHONY: check-differential
check-differential: deps-test ## our parsers against independent models in Python, on COUNT generated cases (SEED: the run to repeat)
	@$(MAKE) --no-print-directory -s -j2 check-programs
	@for script in tests/differential/compare_*.py; do \
	    BUILD=$(abspath $(BUILD)) /usr/bin/python3 "$$script" $(or $(COUNT),100000) $(SEED) || exit 1; done

check-asan: deps-test ## the tests under AddressSanitizer, UBSan and LeakSanitizer
	@$(MAKE) --no-print-directory check BUILD=$(BUILD)/asan SANITIZE=address,undefined CFLAGS='-O1 -g'

# Uninitialised memory: only what calls no library that clang did not build (they would all look uninitialised).
MSAN_TESTS =

.PHONY: check-asan-clang check-tsan check-valgrind check-msan
check-asan-clang: deps-lint ## the same as check-asan with clang's sanitizers
	@$(MAKE) --no-print-directory check BUILD=$(BUILD)/asan-clang CC=clang SANITIZE=address,undefined CFLAGS='-O1 -g'

check-tsan: deps-test ## the unit tests and the collector's flow tests under ThreadSanitizer
	@$(MAKE) --no-print-directory -s -j2 all check-programs BUILD=$(BUILD)/tsan SANITIZE=thread CFLAGS='-O1 -g'
	@BUILD=$(abspath $(BUILD)/tsan) tests/run --unit
	@BUILD=$(abspath $(BUILD)/tsan) tests/run test_collect

check-valgrind: deps-lint ## the unit tests, the corpus and the collector under Valgrind: errors, leaks, descriptors left open
	@$(MAKE) --no-print-directory -s -j2 all check-programs BUILD=$(BUILD)/valgrind CFLAGS='-O1 -g'
	@rm -f $(BUILD)/valgrind/tests/fault/*_test # thousands of rounds; AddressSanitizer looks at them
	@BUILD=$(abspath $(BUILD)/valgrind) WRAPPER=tests/valgrind tests/run --unit
	@BUILD=$(abspath $(BUILD)/valgrind) tests/valgrind_collector

check-msan: deps-lint ## parsers and the model under MemorySanitizer
	@rm -rf $(BUILD)/msan/tests
	@$(MAKE) --no-print-directory -s -j2 $(addprefix $(BUILD)/msan/,$(MSAN_TESTS)) BUILD=$(BUILD)/msan CC=clang SANITIZE=memory \
	    CFLAGS='-O1 -g' EXTRA_CFLAGS=-fsanitize-memory-track-origins
	@BUILD=$(abspath $(BUILD)/msan) tests/run --unit

.PHONY: check-crash
ROUNDS ?= 200
check-crash: deps-test ## ROUNDS kills under load: what senders were told is in the store, once
	@$(MAKE) --no-print-directory -s -j2 all check-programs
	@BUILD=$(abspath $(BUILD)) tests/crash/check_crash.py --rounds $(ROUNDS)

.PHONY: check-install check-bare
check-install: deps-install-test ## root: install the Debian package into a Debian 12 and a Debian 13 tree and use it there
	@[ "$$(id -u)" -ne 0 ] || { $(MAKE) --no-print-directory deb $(BUILD)/$(NAME_VERSION) >$(BUILD)/deb.log 2>&1 || \
	    { tail -n 60 $(BUILD)/deb.log; exit 1; }; }
	@[ "$$(id -u)" -ne 0 ] || \
	    tests/install/check_reproducible $(BUILD)/$(NAME_VERSION) $(abspath $(BUILD))/install/reproducible
	@BUILD=$(abspath $(BUILD)) tests/install/check_install $(BUILD)/deb/tlsrpt-gen_$(VERSION)_$(DEB_ARCH).deb $(SUITES)

check-bare: deps-install-test ## root: the README's commands on a clean Debian 12 and a clean Debian 13
	@[ "$$(id -u)" -ne 0 ] || $(MAKE) --no-print-directory -s $(BUILD)/$(NAME_VERSION)
	@BUILD=$(abspath $(BUILD)) tests/install/check_bare $(BUILD)/$(NAME_VERSION) $(SUITES)

.PHONY: check-fleet
check-fleet: deps-install-test ## root: the fleet's tests against PostgreSQL 15 of Debian 12 and 17 of Debian 13
	@$(MAKE) --no-print-directory -s -j2 all
	@BUILD=$(abspath $(BUILD)) tests/install/check_fleet $(SUITES)

.PHONY: check-mta
check-mta: deps-mta-test ## root: real Exim and Postfix of Debian 12 and 13 against receivers with TLS faults; their reports against what they knew
	@$(MAKE) --no-print-directory -s -j2 all
	@BUILD=$(abspath $(BUILD)) tests/mta/check_mta $(MTAS)

.PHONY: compile-flags
compile-flags: # for lint's analysers, quoted for a shell
	@printf '%s\n' "$(subst ",\",-std=c11 $(WARNINGS) -pthread -Iinclude -Isrc $(DEFINES) $(PKG_CFLAGS))"

conformance: deps-test ## each rule of RFC 8460 and of practice with the test that proves it
	@$(MAKE) --no-print-directory -s -j2 all check-programs
	@BUILD=$(abspath $(BUILD)) tests/conformance/run

bench: deps-bench ## measure rates, and hold their ratios against what was promised
	@$(MAKE) --no-print-directory -s -j2 all $(BENCH) $(TOOLS)
	@BUILD=$(abspath $(BUILD)) tests/bench/run

# ---- prove it --------------------------------------------------------------------------------------------
FUZZ_SECONDS ?= 60

.PHONY: fuzz fuzz-programs
fuzz-programs: $(REPLAY)
fuzz: deps-lint ## libFuzzer on every target, FUZZ_SECONDS each (FUZZ_TARGETS: only these); new finds stay in tests/fuzz/corpus
	@$(MAKE) --no-print-directory -s -j2 fuzz-programs BUILD=$(BUILD)/fuzz CC=clang FUZZER=1 CFLAGS='-O1 -g' \
	    SANITIZE=fuzzer-no-link,address,undefined
	@BUILD=$(abspath $(BUILD)/fuzz) tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ_TARGETS)

SOAK_SECONDS ?= 600
.PHONY: soak
soak: deps-test ## everything at once for SOAK_SECONDS (SOAK_SEED): kills, full disk, clock jumps; totals must balance
	@$(MAKE) --no-print-directory -s -j2 all check-programs
	@BUILD=$(abspath $(BUILD)) tests/soak/run $(SOAK_SECONDS) $(SOAK_SEED)

.PHONY: check-mutation
check-mutation: deps-test ## put faults made by hand into the sources: do the tests that are named for them notice?
	@BUILD=$(abspath $(BUILD)) tests/mutation/run

.PHONY: coverage
coverage: deps-test ## which lines and branches of src the tests run, held against what was promised
	@rm -rf $(BUILD)/coverage
	@$(MAKE) --no-print-directory check BUILD=$(BUILD)/coverage CFLAGS='-O0 -g' LDFLAGS=--coverage \
	    EXTRA_CFLAGS='--coverage -fprofile-update=atomic -U_FORTIFY_SOURCE'
	@BUILD=$(abspath $(BUILD)/coverage) tests/coverage/run

lint: deps-lint ## format, warnings as errors with gcc and clang, analysers, layers, documents
	@tests/lint/run $(C_FILES)

format: ## lay out the code as clang-format wants it
	clang-format -i $(C_FILES)

clean: ## remove what was built
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 16
