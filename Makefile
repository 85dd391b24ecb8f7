# ptpbmca: build, try, test. Honours CARGO_TARGET_DIR and CC.

CARGO ?= cargo
CC ?= cc
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR
OUT := $(CARGO_TARGET_DIR)/release
C_FLAGS := -O2 -Wall -Wextra -Wpedantic -Werror -Iinclude
LINK := -L$(OUT) -lptpbmca -Wl,-rpath,$(abspath $(OUT))

# Where `make install` puts what it installs; DESTDIR comes before all of it, and no file names it.
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
# Empty: where the Python of this host looks below PREFIX.
PYTHONDIR ?=

.PHONY: all demo test fuzz loom soak bench bench-reads bench-realtime bench-scale lib tool install uninstall
.PHONY: deb check-targets check-windows examples header lint doc docs clean

all: lib

# The library, with the name that programs linked to it look for.
lib:
	$(CARGO) build --release -p ptpbmca
	ln -sf libptpbmca.so $(OUT)/libptpbmca.so.0

# The command-line tool: follow, doctor, replay, simulate. Installed and packed where it was built.
tool:
	$(CARGO) build --release -p ptpbmca-tools --bin ptpbmca

# Built when something is newer, so that root, who may have no Rust, installs what is there.
$(OUT)/libptpbmca.so: build.rs $(shell find src -name '*.rs')
	$(MAKE) lib

# Library, header, pkg-config and CMake files, and the tool with its manual where it was built. Uninstall takes the same
# PREFIX, LIBDIR, INCLUDEDIR, PYTHONDIR and DESTDIR, and removes exactly that.
install uninstall: export OUT := $(OUT)
install uninstall: export PREFIX := $(PREFIX)
install uninstall: export LIBDIR := $(LIBDIR)
install uninstall: export INCLUDEDIR := $(INCLUDEDIR)
install uninstall: export PYTHONDIR := $(PYTHONDIR)
install uninstall: export DESTDIR := $(DESTDIR)
install: $(OUT)/libptpbmca.so
	sh packaging/install.sh install
uninstall:
	sh packaging/install.sh uninstall

# Debian packages, in $(OUT)/deb: the library, what is needed to build with it, and the tool where it was built.
deb: $(OUT)/libptpbmca.so
	sh packaging/deb/build.sh $(OUT)

# The main job: a C program follows a simulated receiver for ten seconds, on loopback addresses and high ports.
demo: lib
	$(CARGO) build --release -p ptpbmca-sim --example receiver
	$(CC) -std=c99 $(C_FLAGS) examples/follow.c -o $(OUT)/follow $(LINK)
	sh examples/demo.sh $(OUT)

# Installs what the tests need, builds, and runs all of them; the last line counts them.
test:
	sh tests/install.sh
	$(MAKE) lib tool
	$(CARGO) build --release -p ptpbmca-sim --example receiver
	bash tests/all.sh $(abspath $(OUT))

# Random worlds with fresh seeds on one core, the fuzzers on the other: HOURS=2 for so long, or SEEDS=10000 worlds.
soak:
	HOURS=$(or $(HOURS),1) SEEDS=$(SEEDS) FIRST=$(FIRST) bash tests/soak.sh

# The lock-free parts in every order that the memory model allows, by loom. LOOM_MAX_PREEMPTIONS=4 looks further, for longer.
loom:
	sh tests/loom/run.sh

# Throws inputs at the library until one hurts: TARGET=wire (association, config, replay), or all; SECONDS=600 for each.
fuzz:
	bash fuzz/run.sh $(or $(SECONDS),60) $(TARGET)

# The estimate beside the field's on generated links. SEEDS=20 takes more seeds, ONLY=wifi one link, FIRST=7 seeds from
# there on; DOCS=docs writes docs/accuracy.md and its pictures.
bench:
	$(CARGO) bench -q -p ptpbmca-tools --bench accuracy -- $(if $(FIRST),--first $(FIRST)) $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(ONLY),--link $(ONLY)) $(if $(DOCS),--docs $(abspath $(DOCS)))

# What asking the time costs beside clock_gettime, while the worker follows a receiver.
bench-reads: lib
	$(CARGO) build --release -p ptpbmca-sim --example receiver
	$(CC) -std=c99 $(C_FLAGS) benches/reads.c -o $(OUT)/reads $(LINK)
	sh benches/reads.sh $(OUT)

# The worst and the usual time of each realtime-safe call beside clock_gettime's, by itself and on a busy machine. A minute.
bench-realtime: lib
	$(CARGO) build --release -p ptpbmca-sim --example receiver
	$(CC) -std=c11 $(C_FLAGS) benches/realtime.c -o $(OUT)/realtime $(LINK)
	sh benches/realtime.sh $(OUT)

# One worker and ten to a thousand receivers: CPU, wake-ups, memory, punctuality. About two minutes.
bench-scale:
	$(CARGO) bench -q -p ptpbmca --bench scale

# Type-checks the library for macOS, iOS, Android and Windows.
check-targets:
	sh tests/targets.sh

# Builds the Windows library and runs it under wine.
check-windows:
	$(CARGO) build --release -p ptpbmca-sim --example receiver
	bash tests/windows/run.sh $(OUT)

# Runs every example, every way to install and every check of the headers from a fresh clone, and writes docs/examples.md.
# Debian, root; about ten minutes.
examples:
	bash tests/examples.sh

# Writes include/ptpbmca.h anew from src/ffi.
header:
	PTPBMCA_WRITE_HEADER=1 $(CARGO) test -q -p ptpbmca --test header

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# The whole reference: Rust's, and that of C and C++ in $(OUT)/doc/c (doxygen). A warning fails it.
docs: doc
	mkdir -p $(OUT)/doc
	DOXYGEN_OUT=$(OUT)/doc doxygen packaging/doxygen/Doxyfile

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

clean:
	$(CARGO) clean
