# SPDX-License-Identifier: MIT
# targets.mk - the targets that test, measure and check; included by the Makefile, which has the variables used here.
# tests/README.md says what each is for and how long it takes.

# ---- packages --------------------------------------------------------------------------------------------
# With WITH_PGSQL=no, tests that need libpq or a PostgreSQL server are skipped, and neither is installed.
PGSQL_TEST_PACKAGES   = $(if $(filter no,$(PGSQL_TOLD)),,$(PGSQL_PACKAGES) postgresql)
TEST_PACKAGES         = $(DEMO_PACKAGES) $(PGSQL_TEST_PACKAGES) git libcmocka-dev python3-pytest python3-pytest-xdist \
                        python3-dnspython python3-dkim libmail-dkim-perl python3-cryptography sqlite3 jq e2fsprogs xfsprogs btrfs-progs procps \
                        mount tzdata runit s6
LINT_PACKAGES         = $(TEST_PACKAGES) clang clang-format clang-tidy cppcheck mandoc groff shellcheck flake8 valgrind
BENCH_PACKAGES        = $(TEST_PACKAGES) nginx-light curl dnsperf
TREE_PACKAGES         = mmdebstrap systemd-container python3
MTA_TEST_PACKAGES     = $(DEMO_PACKAGES) mmdebstrap util-linux iproute2
IMAGE_TEST_PACKAGES   = $(IMAGE_PACKAGES) podman crun iproute2 util-linux python3 python3-aiosmtpd nsd openssl
INSTALL_TEST_PACKAGES = $(DEB_PACKAGES) $(TREE_PACKAGES) autopkgtest python3-aiosmtpd nsd openssl

.PHONY: deps-test deps-lint deps-bench deps-mta-test deps-install-test deps-image-test deps-tree
deps-test: ## install what the tests need
	@conf/install-packages $(TEST_PACKAGES)
deps-lint: ## install what lint needs
	@conf/install-packages $(LINT_PACKAGES)
deps-bench:
	@conf/install-packages $(BENCH_PACKAGES)
deps-mta-test:
	@conf/install-packages $(MTA_TEST_PACKAGES)
deps-install-test:
	@conf/install-packages $(INSTALL_TEST_PACKAGES)
deps-image-test:
	@conf/install-packages $(IMAGE_TEST_PACKAGES)
deps-tree:
	@conf/install-packages $(TREE_PACKAGES)

# ---- programs --------------------------------------------------------------------------------------------
LEFT_OUT += $(if $(LIBPQ),,tests/unit/fleet/% tests/fuzz/fleet_% tests/fuzz/pg_% tests/fault/fleet/%)
UNIT      = $(patsubst %.c,$(BUILD)/%,$(call c_files,tests/unit/*/*_test.c tests/replay/*_test.c))
REPLAY    = $(patsubst %.c,$(BUILD)/%,$(call c_files,tests/fuzz/*_fuzz.c))
FAULT     = $(patsubst %.c,$(BUILD)/%,$(call c_files,tests/fault/*_test.c tests/fault/*/*_test.c))
TOOLS     = $(patsubst tests/tools/%.c,$(BUILD)/tests/tools/%,$(sort $(wildcard tests/tools/*.c)))
BENCH     = $(patsubst tests/bench/%.c,$(BUILD)/tests/bench/%,$(sort $(wildcard tests/bench/*_bench.c)))
SHIM      = $(BUILD)/tests/fault/shim.so
SIM       = $(BUILD)/tests/sim/scheduler_sim
C_FILES   = $(sort $(wildcard src/*/*.[ch] include/*/*.h tests/*/*.[ch] tests/unit/*/*.[ch] tests/fault/*/*.[ch]))
LIBS_test = jansson sqlite3 zlib openssl libcurl libcares libidn2 libpsl libesmtp-1.0 cmocka $(LIBPQ)

.PHONY: check-programs fuzz-programs
check-programs: $(UNIT) $(FAULT) $(SHIM) $(SIM) $(REPLAY) $(TOOLS)
fuzz-programs: $(REPLAY)

# Tests see the private headers too: "room/x.h".
$(BUILD)/tests/%.o: INCLUDE_PRIVATE = -Isrc

$(UNIT) $(TOOLS) $(BENCH): $(BUILD)/%: $(BUILD)/%.o $(LIBRARY)
	$(CC) $(ALL_LDFLAGS) -o $@ $< $(LIBRARY) $(call libs,$(LIBS_test))

# In these, the Nth call of malloc and the like fails.
$(FAULT): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/tests/fault/fault.o $(LIBRARY)
	$(CC) $(ALL_LDFLAGS) $(foreach f,malloc calloc realloc strdup,-Wl,--wrap=$(f)) -o $@ $< $(BUILD)/tests/fault/fault.o \
	    $(LIBRARY) $(call libs,$(LIBS_test))

$(SIM): $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/sim/*.c))) $(LIBRARY)
	$(CC) $(ALL_LDFLAGS) $(foreach f,malloc calloc,-Wl,--wrap=$(f)) -o $@ $^

# Makes system calls of whole programs fail (LD_PRELOAD).
$(SHIM): tests/fault/shim.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) -std=c11 $(CFLAGS) $(WARNINGS) -D_GNU_SOURCE -U_FORTIFY_SOURCE -fPIC -shared -pthread -o $@ $<

# A fuzz target replays files; with FUZZER=1 (clang) libFuzzer drives it instead.
REPLAY_MAIN = $(if $(FUZZER),,$(BUILD)/tests/fuzz/replay.o)
$(REPLAY): $(BUILD)/%: $(BUILD)/%.o $(REPLAY_MAIN) $(LIBRARY)
	$(CC) $(ALL_LDFLAGS) $(if $(FUZZER),-fsanitize=fuzzer) -o $@ $< $(REPLAY_MAIN) $(LIBRARY) $(call libs,$(LIBS_test))

# ---- before every push -----------------------------------------------------------------------------------
.PHONY: check check-unit check-asan lint format conformance check-differential check-scheduler check-crash check-power compile-flags
check: deps-test ## unit tests, flow tests, corpus replay, document checks
	@$(MAKE) --no-print-directory -s -j2 all check-programs
	@BUILD=$(abspath $(BUILD)) tests/run

check-unit: ## only the unit tests and the corpus replay
	@$(MAKE) --no-print-directory -s $(if $(findstring jobserver,$(MAKEFLAGS)),,-j2) check-programs
	@BUILD=$(abspath $(BUILD)) tests/run --unit

check-asan: deps-test ## the tests under AddressSanitizer, UBSan and LeakSanitizer
	@$(MAKE) --no-print-directory check BUILD=$(BUILD)/asan SANITIZE=address,undefined CFLAGS='-O1 -g'

lint: deps-lint ## format, warnings as errors with gcc and clang, analysers, layers, documents
	@tests/lint/run $(C_FILES)

format: ## lay out the code as clang-format wants it
	clang-format -i $(C_FILES)

compile-flags: # for lint's analysers, quoted for a shell
	@printf '%s\n' "$(subst ",\",-std=c11 $(WARNINGS) -pthread -Iinclude -Isrc $(DEFINES) $(PKG_CFLAGS))"

conformance: deps-test ## each rule of RFC 8460 and of practice with the test that proves it
	@$(MAKE) --no-print-directory -s -j2 all check-programs
	@BUILD=$(abspath $(BUILD)) tests/conformance/run

check-differential: deps-test ## our parsers against independent models in Python, on COUNT generated cases (SEED: the run to repeat)
	@$(MAKE) --no-print-directory -s -j2 check-programs
	@for script in tests/differential/compare_*.py; do \
	    BUILD=$(abspath $(BUILD)) /usr/bin/python3 "$$script" $(or $(COUNT),100000) $(SEED) || exit 1; done

SEEDS ?= 10000
check-scheduler: deps-test ## what the delivery scheduler promises, in SEEDS simulated days with hostile owners
	@$(MAKE) --no-print-directory -s -j2 $(SIM)
	@nice $(SIM) $(SEEDS)

ROUNDS ?= 200
check-crash: deps-test ## kill the collector ROUNDS times under load; each result it accepted must be stored once
	@$(MAKE) --no-print-directory -s -j2 all check-programs
	@BUILD=$(abspath $(BUILD)) tests/crash/check_crash.py --rounds $(ROUNDS)

CUTS ?= 100
check-power: deps-test ## root: cut the power CUTS times under load, on ext4, xfs and btrfs; nothing counted twice, loss within ring_sync
	@$(MAKE) --no-print-directory -s -j2 all check-programs
	@BUILD=$(abspath $(BUILD)) tests/power/check_power.py --cuts $(CUTS)

# ---- longer ----------------------------------------------------------------------------------------------
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 600

.PHONY: check-asan-clang check-tsan check-valgrind fuzz soak coverage bench
check-asan-clang: deps-lint ## the same as check-asan with clang's sanitizers
	@$(MAKE) --no-print-directory check BUILD=$(BUILD)/asan-clang CC=clang SANITIZE=address,undefined CFLAGS='-O1 -g'

check-tsan: deps-test ## the unit tests and the collector's flow tests under ThreadSanitizer
	@$(MAKE) --no-print-directory -s -j2 all check-programs BUILD=$(BUILD)/tsan SANITIZE=thread CFLAGS='-O1 -g'
	@BUILD=$(abspath $(BUILD)/tsan) tests/run --unit
	@BUILD=$(abspath $(BUILD)/tsan) tests/run test_collect

check-valgrind: deps-lint ## the unit tests, the corpus and the collector under Valgrind: errors, leaks, descriptors left open
	@$(MAKE) --no-print-directory -s -j2 all check-programs BUILD=$(BUILD)/valgrind CFLAGS='-O1 -g'
	@rm -f $(BUILD)/valgrind/tests/fault/*_test $(BUILD)/valgrind/tests/fault/*/*_test # thousands of rounds; AddressSanitizer looks at them
	@BUILD=$(abspath $(BUILD)/valgrind) WRAPPER=tests/valgrind tests/run --unit
	@BUILD=$(abspath $(BUILD)/valgrind) tests/valgrind_collector

fuzz: deps-lint ## libFuzzer on every target, FUZZ_SECONDS each (FUZZ_TARGETS: only these); new finds stay in tests/fuzz/corpus
	@$(MAKE) --no-print-directory -s -j2 fuzz-programs BUILD=$(BUILD)/fuzz CC=clang FUZZER=1 CFLAGS='-O1 -g' \
	    SANITIZE=fuzzer-no-link,address,undefined
	@BUILD=$(abspath $(BUILD)/fuzz) tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ_TARGETS)

soak: deps-test ## everything at once for SOAK_SECONDS (SOAK_SEED): kills, full disk, clock jumps; totals must balance
	@$(MAKE) --no-print-directory -s -j2 all check-programs
	@BUILD=$(abspath $(BUILD)) tests/soak/run $(SOAK_SECONDS) $(SOAK_SEED)

coverage: deps-test ## lines and branches of src that the tests run; fails below the promised shares
	@rm -rf $(BUILD)/coverage
	@$(MAKE) --no-print-directory check BUILD=$(BUILD)/coverage CFLAGS='-O0 -g' LDFLAGS=--coverage \
	    EXTRA_CFLAGS='--coverage -fprofile-update=atomic -U_FORTIFY_SOURCE'
	@BUILD=$(abspath $(BUILD)/coverage) tests/coverage/run

bench: deps-bench ## measure rates; fails if their ratios are worse than promised
	@$(MAKE) --no-print-directory -s -j2 all $(BENCH) $(TOOLS)
	@BUILD=$(abspath $(BUILD)) tests/bench/run

# ---- as root, in Debian trees ----------------------------------------------------------------------------
.PHONY: check-debian12 check-debian13 check-arm64 check-s390x check-riscv64 check-autopkgtest check-upgrade check-install check-image check-bare check-fleet check-mta
CROSS_LIBRARIES = $(filter lib%-dev zlib1g-dev,$(BUILD_PACKAGES) $(PGSQL_PACKAGES)) libcmocka-dev

SUITE12 = bookworm
SUITE13 = trixie

check-debian12: ## root: the same as check-debian13 in a Debian 12 tree
check-debian13: ## root: `make deb` and `make check` (TARGETS: others) in a Debian 13 tree
check-debian12 check-debian13: deps-tree $(BUILD)/$(NAME_VERSION)
	@BUILD=$(abspath $(BUILD)) tests/install/check_debian $(SUITE$(@:check-debian%=%)) $(BUILD)/$(NAME_VERSION) \
	    "$(or $(TARGETS),deb check)" $(DEB_PACKAGES) $(TEST_PACKAGES)

check-arm64: ## root: cross build for arm64, unit tests and corpus under qemu-user
check-s390x: ## root: the same for s390x, which is big-endian
check-riscv64: ## root: the same for riscv64
check-arm64 check-s390x check-riscv64: deps-tree $(BUILD)/$(NAME_VERSION)
	@BUILD=$(abspath $(BUILD)) tests/install/check_cross $(or $(SUITE),trixie) $(@:check-%=%) $(BUILD)/$(NAME_VERSION) $(CROSS_LIBRARIES)

check-autopkgtest: deps-install-test deb ## root: the package's own tests (conf/debian/tests) in a Debian 12 and a Debian 13 tree
	@BUILD=$(abspath $(BUILD)) tests/install/check_autopkgtest $(BUILD)/deb $(SUITES)

check-install: deps-install-test ## root: install the Debian package into a Debian 12 and a Debian 13 tree and use it there
	@[ "$$(id -u)" -ne 0 ] || { $(MAKE) --no-print-directory deb $(BUILD)/$(NAME_VERSION) >$(BUILD)/deb.log 2>&1 || \
	    { tail -n 60 $(BUILD)/deb.log; exit 1; }; }
	@[ "$$(id -u)" -ne 0 ] || \
	    tests/install/check_reproducible $(BUILD)/$(NAME_VERSION) $(abspath $(BUILD))/install/reproducible
	@BUILD=$(abspath $(BUILD)) tests/install/check_install $(BUILD)/deb/tlsrpt-gen_$(DEB_VERSION)_$(DEB_ARCH).deb $(SUITES)

# The commit of 0.1.0, which has no tag.
OLD_RELEASE ?= 3ade95d
OLD_DEB ?= $(BUILD)/old/deb/tlsrpt-gen_old.deb
$(BUILD)/old/deb/tlsrpt-gen_old.deb:
	@rm -rf $(BUILD)/old && mkdir -p $(BUILD)/old/src
	git archive $(OLD_RELEASE) | tar -x -C $(BUILD)/old/src
	$(CLEAN_ENV) DEB_BUILD_OPTIONS=nocheck LINTIAN=true $(MAKE) -C $(BUILD)/old/src deb >$(BUILD)/old/log 2>&1 || { tail -n 60 $(BUILD)/old/log; exit 1; }
	@mkdir -p $(@D) && cp $(BUILD)/old/src/build/deb/*.deb $@

check-upgrade: deps-install-test deb $(OLD_DEB) ## root: from OLD_RELEASE or OLD_DEB to this, and back, on running Debian 12 and 13 trees
	@BUILD=$(abspath $(BUILD)) tests/install/check_upgrade $(OLD_DEB) $(BUILD)/deb/tlsrpt-gen_$(DEB_VERSION)_$(DEB_ARCH).deb $(SUITES)

check-image: deps-image-test ## root: build the container image and use it, with loopback alone: collect, generate, deliver, health, stop
	@[ "$$(id -u)" -ne 0 ] || $(MAKE) --no-print-directory image
	@BUILD=$(abspath $(BUILD)) tests/install/check_image $(IMAGE)

check-bare: deps-install-test ## root: the README's commands on a clean Debian 12 and a clean Debian 13
	@[ "$$(id -u)" -ne 0 ] || $(MAKE) --no-print-directory -s $(BUILD)/$(NAME_VERSION)
	@BUILD=$(abspath $(BUILD)) tests/install/check_bare $(BUILD)/$(NAME_VERSION) $(SUITES)

check-fleet: deps-install-test ## root: the fleet's tests against PostgreSQL 15 of Debian 12 and 17 of Debian 13
	@$(MAKE) --no-print-directory -s -j2 all
	@BUILD=$(abspath $(BUILD)) tests/install/check_fleet $(SUITES)

check-mta: deps-mta-test ## root: real Exim and Postfix of Debian 12, 13 and sid against receivers with TLS faults; their reports against what they knew
	@$(MAKE) --no-print-directory -s -j2 all
	@BUILD=$(abspath $(BUILD)) tests/mta/check_mta $(MTAS)
