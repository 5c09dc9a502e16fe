# tlsrpt-gen: SMTP TLS reports (RFC 8460) for Postfix, Exim and others.  `make help` lists the targets.

VERSION = 1.0.0

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
PKG_CONFIG ?= pkg-config
# pkg-config name:oldest version that works
DEPENDENCIES = jansson:2.13 zlib:1.2.11 sqlite3:3.37 libcurl:7.85 libcares:1.18 openssl:3.0 \
               libesmtp-1.0:1.1 libidn2:2.3 libpsl:0.20 $(if $(filter yes,$(WITH_PGSQL)),libpq:14)

# A fleet of hosts on PostgreSQL: yes or no; yes where libpq is found.
PGSQL_TOLD := $(WITH_PGSQL)
ifeq ($(WITH_PGSQL),)
WITH_PGSQL := $(shell $(PKG_CONFIG) --atleast-version=14 libpq 2>/dev/null && echo yes || echo no)
endif
ifeq ($(filter yes no,$(WITH_PGSQL)),)
$(error WITH_PGSQL is "$(WITH_PGSQL)"; use yes or no)
endif
LIBPQ = $(if $(filter yes,$(WITH_PGSQL)),libpq)

# The libraries each program links; nothing else reaches it.
LIBS_tlsrpt-gen         = jansson sqlite3 zlib openssl libcurl libcares libidn2 libpsl $(LIBPQ)
LIBS_tlsrpt-gen-collect = jansson sqlite3 libidn2 libpsl
LIBS_tlsrpt-gen-smtp    = libesmtp-1.0 openssl
LIBS_tlsrpt-gen-log     = jansson libidn2 zlib libcares

# Debian packages; those that only tests need are in tests/targets.mk.
BUILD_PACKAGES = build-essential pkg-config libjansson-dev libesmtp-dev libcurl4-openssl-dev libc-ares-dev \
                 libsqlite3-dev libssl-dev zlib1g-dev libidn2-dev libpsl-dev
# Not needed, but used where it is there: a fleet of hosts on PostgreSQL (WITH_PGSQL).
PGSQL_PACKAGES = libpq-dev
DEMO_PACKAGES  = $(BUILD_PACKAGES) python3 python3-aiosmtpd nsd openssl
IMAGE_PACKAGES = dpkg-dev buildah mmdebstrap
DEB_PACKAGES   = $(BUILD_PACKAGES) $(PGSQL_PACKAGES) libcmocka-dev python3 dpkg-dev debhelper lintian

# ---- sources ---------------------------------------------------------------------------------------------
MAINS    = $(sort $(wildcard src/main/tlsrpt-gen*.c))
PROGRAMS = $(patsubst src/main/%.c,$(BUILD)/%,$(MAINS))
LIBRARY  = $(BUILD)/libtlsrpt-gen.a
# Where there is no libpq, the fleet is left out; tests/targets.mk adds its tests.
LEFT_OUT = $(if $(LIBPQ),,src/fleet/%)
c_files  = $(filter-out $(LEFT_OUT),$(sort $(wildcard $(1))))
SOURCES  = $(filter-out $(MAINS),$(call c_files,src/*/*.c))
OBJECTS  = $(patsubst %.c,$(BUILD)/%.o,$(SOURCES))

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
             -DTLSRPT_GEN_LIBEXECDIR='"$(LIBEXECDIR)"' -DTLSRPT_GEN_DATADIR='"$(DATADIR)"' $(if $(LIBPQ),-DWITH_PGSQL)
ALL_CFLAGS = -std=c11 $(CFLAGS) $(WARNINGS) $(HARDENING) $(SANITIZERS) $(EXTRA_CFLAGS) \
             -ffile-prefix-map=$(CURDIR)=. -pthread -Iinclude
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITIZERS) $(LDFLAGS) -pthread
PKG_CFLAGS = $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(foreach d,$(DEPENDENCIES),$(firstword $(subst :, ,$(d)))) 2>/dev/null))
libs       = $(shell $(PKG_CONFIG) --libs $(1))

# ---- build -----------------------------------------------------------------------------------------------
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all programs check-dependencies FORCE

all: programs ## build the programs into build/

programs: $(PROGRAMS)

check-dependencies:
	@command -v $(PKG_CONFIG) >/dev/null || { echo "pkg-config is missing: run 'make deps' (Debian), or install it" >&2; exit 1; }
	@missing=; for d in $(DEPENDENCIES); do \
	    $(PKG_CONFIG) --atleast-version=$${d#*:} $${d%:*} || missing="$$missing $${d%:*} (>= $${d#*:})"; done; \
	 [ -z "$$missing" ] || { echo "missing libraries:$$missing; run 'make deps' (Debian), or install their development files" >&2; exit 1; }

# Everything is rebuilt when the flags change.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS) $(DEFINES) $(ALL_LDFLAGS)' | sed "s/'//g" > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(BUILD)/%.o: %.c $(BUILD)/flags | check-dependencies
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(INCLUDE_PRIVATE) $(DEFINES) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

$(LIBRARY): $(OBJECTS)
	rm -f $@
	$(AR) rcD $@ $(OBJECTS)

$(PROGRAMS): $(BUILD)/%: $(BUILD)/src/main/%.o $(LIBRARY)
	$(CC) $(ALL_LDFLAGS) -o $@ $< $(LIBRARY) $(call libs,$(LIBS_$*))

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
# Debian 12's lintian is older than the policy that conf/debian follows, and asks for an init script beside each unit.
LINTIAN_12 = --suppress-tags newer-standards-version,package-supports-alternative-init-but-no-init.d-script
LINTIAN ?= lintian -I --pedantic --fail-on error,warning,info,pedantic \
           $(if $(filter 2.116.%,$(shell dpkg-query -W -f '$${Version}' lintian)),$(LINTIAN_12))
changelog = $(shell dpkg-parsechangelog -l conf/debian/changelog -S $(1))
DEB_VERSION = $(call changelog,Version)
DEB_ARCH = $(shell dpkg --print-architecture)

.PHONY: dist deb deb-src release
$(BUILD)/$(NAME_VERSION): FORCE
	@rm -rf $@ && mkdir -p $@
	@{ $(TREE); } | sort -zu | tar -c --null -T - | tar -x -C $@
	@chmod -R u=rwX,go=rX $@

dist: $(BUILD)/$(NAME_VERSION) ## the sources as build/tlsrpt-gen-VERSION.tar.gz, the same bytes each time
	tar -c --sort=name --owner=0 --group=0 --numeric-owner --format=gnu --mtime=@$(call changelog,Timestamp) \
	    -C $(BUILD) $(NAME_VERSION) | gzip -9n > $(BUILD)/$(NAME_VERSION).tar.gz

# The archive, and beside it the sources with debian/, made from conf/debian.
$(BUILD)/deb: dist
	@[ -n "$(filter $(VERSION)-%,$(DEB_VERSION))" ] || \
	    { echo "conf/debian/changelog does not begin with a revision of version $(VERSION)" >&2; exit 1; }
	@rm -rf $@ && mkdir -p $@ && cp -r $(BUILD)/$(NAME_VERSION) $@/
	@cp $(BUILD)/$(NAME_VERSION).tar.gz $@/tlsrpt-gen_$(VERSION).orig.tar.gz
	@cp -r conf/debian $@/$(NAME_VERSION)/debian && chmod -R u=rwX,go=rX $@

# build_deb OPTION...: build and check it; of the folder only the results are left.
build_deb = cd $(BUILD)/deb/$(NAME_VERSION) && $(CLEAN_ENV) \
    DEB_BUILD_OPTIONS="$${DEB_BUILD_OPTIONS:+$$DEB_BUILD_OPTIONS }noautodbgsym" dpkg-buildpackage -us -uc $(1) && \
    cd .. && rm -rf $(NAME_VERSION) && $(LINTIAN) --allow-root *.changes

.PHONY: $(BUILD)/deb
deb-src: deps-deb $(BUILD)/deb ## a Debian source package, build/deb/tlsrpt-gen_VERSION-REVISION.dsc, checked with lintian
	$(call build_deb,-S -d)
	@ls -l $(BUILD)/deb/*.dsc

deb: deps-deb $(BUILD)/deb ## the source package and the package for this architecture, build/deb/*.deb, checked with lintian
	$(call build_deb)
	@ls -l $(BUILD)/deb/*.deb

# ---- container image -------------------------------------------------------------------------------------
IMAGE = $(BUILD)/image/tlsrpt-gen_$(VERSION)_$(DEB_ARCH).tar

.PHONY: image
image: deps-image $(BUILD)/$(NAME_VERSION) ## root: a container image, build/image/tlsrpt-gen_VERSION_ARCH.tar; BASE=NAME: from that Debian 13
	@conf/container/build-image $(BUILD)/$(NAME_VERSION) $(IMAGE) $(VERSION) $(BASE) >$(BUILD)/image.log 2>&1 || \
	    { tail -n 60 $(BUILD)/image.log; exit 1; }
	@ls -l $(IMAGE)
KEY ?=
release: ## root: everything that is published, in build/release; VERSION=x must be that of the tree, KEY the GnuPG key that signs
	@conf/release/build '$(VERSION)' '$(KEY)'

# ---- packages --------------------------------------------------------------------------------------------
.PHONY: deps deps-demo deps-deb deps-image deps-pgsql
deps: ## install what building needs (Debian; root or sudo)
	@conf/install-packages $(BUILD_PACKAGES)
deps-demo:
	@conf/install-packages $(DEMO_PACKAGES)
deps-deb:
	@conf/install-packages $(DEB_PACKAGES)
deps-image:
	@conf/install-packages $(IMAGE_PACKAGES)
deps-pgsql: ## install what a fleet on PostgreSQL needs besides to be built in
	@conf/install-packages $(PGSQL_PACKAGES)

# ---- try and test ----------------------------------------------------------------------------------------
.PHONY: demo clean help
demo: deps-demo ## see it work: datagrams in, reports out by mail and HTTPS, all on loopback
	@$(MAKE) --no-print-directory -s -j2 all
	@BUILD=$(abspath $(BUILD)) tests/demo

include tests/targets.mk

clean: ## remove what was built
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' Makefile tests/targets.mk | expand -t 20
