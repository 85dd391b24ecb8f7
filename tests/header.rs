//! The committed header is the one that the source gives.
#![allow(clippy::disallowed_methods)] // Whether to write or to compare is said in the environment.

use std::path::Path;

#[test]
fn header_is_what_the_source_gives() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/ptpbmca.h");
    let generated = generated();
    if std::env::var_os("PTPBMCA_WRITE_HEADER").is_some() {
        std::fs::write(&committed, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(committed == generated, "include/ptpbmca.h is stale: run `make header` and commit it");
}

#[test]
fn every_parameter_has_its_swift_label() {
    let header = generated();
    for (name, swift) in SWIFT_NAMES.into_iter().filter(|(_, swift)| swift.contains('(')) {
        let end = header.find(&format!("PTPBMCA_SWIFT_NAME({swift})")).unwrap();
        let begin = header[..end].rfind(&format!("{name}(")).unwrap();
        let declared = &header[begin + name.len()..end];
        let parameters = if declared.starts_with("(void)") { 0 } else { declared.matches(',').count() + 1 };
        let labels = swift.matches(':').count();
        assert!(labels == parameters, "{name} has {parameters} parameters, unlike {swift}");
    }
}

/// The header that the source gives.
fn generated() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    config.header = config.header.map(|header| header.trim().to_owned());
    let mut generated = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(root.join("src/ffi/types.rs"))
        .with_src(root.join("src/ffi/realtime.rs"))
        .with_src(root.join("src/ffi/calls.rs"))
        .generate()
        .unwrap()
        .write(&mut generated);
    annotated(&arranged(&String::from_utf8(generated).unwrap()))
}

/// Puts the constants before the types, where a reader looks for them, and drops the lines `# Safety`.
fn arranged(header: &str) -> String {
    let lines: Vec<&str> = header
        .lines()
        .filter(|line| line.trim_start().trim_start_matches('*').trim() != "# Safety")
        .collect();
    let is_constant = |line: &&str| line.starts_with("#define PTPBMCA_") && line.split(' ').count() > 2;
    let first = lines.iter().position(is_constant).unwrap();
    let last = lines.iter().rposition(is_constant).unwrap();
    let start = lines[..first].iter().rposition(|line| *line == "/**").unwrap();
    let types = lines.iter().position(|line| *line == "#include <stdint.h>").unwrap() + 1;
    assert!(types < start, "the constants stand where they are looked for: nothing to arrange any more");
    let mut out = lines[..types].to_vec();
    out.push("");
    out.extend(&lines[start..=last]);
    out.extend(&lines[types..start]);
    out.extend(&lines[last + 1..]);
    out.join("\n") + "\n"
}

/// What stands after the includes.
const ANNOTATIONS_BEGIN: &str = r#"
/*
 * What Objective-C and Swift read beside the types: which pointers may be NULL, and Swift's names. Empty elsewhere;
 * with PTPBMCA_NULLABILITY defined, clang reads it in C and C++ too.
 */
#if defined(__clang__) && (defined(__OBJC__) || defined(__swift__) || defined(PTPBMCA_NULLABILITY))
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnullability-extension"
#pragma clang assume_nonnull begin
#define PTPBMCA_NONNULL _Nonnull
#define PTPBMCA_NULLABLE _Nullable
#define PTPBMCA_NULL_UNSPECIFIED _Null_unspecified
#define PTPBMCA_SWIFT_NAME(name) __attribute__((swift_name(#name)))
#else
#define PTPBMCA_NONNULL
#define PTPBMCA_NULLABLE
#define PTPBMCA_NULL_UNSPECIFIED
#define PTPBMCA_SWIFT_NAME(name)
#endif
"#;

/// What stands at the end: nothing of it is left to whoever includes the header.
const ANNOTATIONS_END: &str = r#"#if defined(__clang__) && (defined(__OBJC__) || defined(__swift__) || defined(PTPBMCA_NULLABILITY))
#pragma clang assume_nonnull end
#pragma clang diagnostic pop
#endif
#undef PTPBMCA_NONNULL
#undef PTPBMCA_NULLABLE
#undef PTPBMCA_NULL_UNSPECIFIED
#undef PTPBMCA_SWIFT_NAME

"#;

/// The pointers that may be NULL. A session that is NULL is no session, and no mistake. The advice never is, but Swift
/// makes no empty status to be filled of a struct whose pointers are not NULL.
const NULLABLE: [(&str, &str); 10] = [
    ("const char *advice;", "const char *PTPBMCA_NULL_UNSPECIFIED advice;"),
    ("const struct ptpbmca_session *session", "const struct ptpbmca_session *PTPBMCA_NULLABLE session"),
    (
        "ptpbmca_stop(struct ptpbmca_session *session",
        "ptpbmca_stop(struct ptpbmca_session *PTPBMCA_NULLABLE session",
    ),
    ("struct ptpbmca_session **session", "struct ptpbmca_session *PTPBMCA_NULLABLE *PTPBMCA_NONNULL session"),
    ("const struct ptpbmca_config *config", "const struct ptpbmca_config *PTPBMCA_NULLABLE config"),
    ("struct ptpbmca_error *error", "struct ptpbmca_error *PTPBMCA_NULLABLE error"),
    ("const char *local_address;", "const char *PTPBMCA_NULLABLE local_address;"),
    ("ptpbmca_event_callback on_event;", "ptpbmca_event_callback PTPBMCA_NULLABLE on_event;"),
    ("ptpbmca_log_callback callback,", "ptpbmca_log_callback PTPBMCA_NULLABLE callback,"),
    ("void *user_data", "void *PTPBMCA_NULLABLE user_data"),
];

/// The names in Swift. Constants have none: macros cannot be renamed.
const SWIFT_NAMES: [(&str, &str); 31] = [
    ("ptpbmca_result", "PTPResult"),
    ("ptpbmca_role", "PTPRole"),
    ("ptpbmca_sync_state", "PTPSyncState"),
    ("ptpbmca_role_policy", "PTPRolePolicy"),
    ("ptpbmca_clock", "PTPClock"),
    ("ptpbmca_event", "PTPEvent"),
    ("ptpbmca_log_level", "PTPLogLevel"),
    ("ptpbmca_event_callback", "PTPEventCallback"),
    ("ptpbmca_log_callback", "PTPLogCallback"),
    ("ptpbmca_clock_offset", "PTPClockOffset"),
    ("ptpbmca_anchor_time", "PTPAnchorTime"),
    ("ptpbmca_config", "PTPConfig"),
    ("ptpbmca_error", "PTPError"),
    ("ptpbmca_message_counts", "PTPMessageCounts"),
    ("ptpbmca_refusal_counts", "PTPRefusalCounts"),
    ("ptpbmca_session_status", "PTPSessionStatus"),
    ("ptpbmca_offset", "ptpOffset(_:into:)"),
    ("ptpbmca_receiver_time", "ptpReceiverTime(_:local:into:)"),
    ("ptpbmca_receiver_now", "ptpReceiverNow(_:into:)"),
    ("ptpbmca_local_time", "ptpLocalTime(_:receiver:into:)"),
    ("ptpbmca_anchor", "ptpAnchor(_:local:into:)"),
    ("ptpbmca_local_now", "ptpLocalNow(_:into:)"),
    ("ptpbmca_config_init", "ptpConfigInit(_:size:)"),
    ("ptpbmca_start", "ptpStart(_:config:session:error:)"),
    ("ptpbmca_await_sync", "ptpAwaitSync(_:timeoutMilliseconds:)"),
    ("ptpbmca_status", "ptpStatus(_:into:)"),
    ("ptpbmca_stop", "ptpStop(_:)"),
    ("ptpbmca_set_log_callback", "ptpSetLogCallback(_:userData:maxLevel:)"),
    ("ptpbmca_result_name", "ptpResultName(_:)"),
    ("ptpbmca_result_message", "ptpResultMessage(_:)"),
    ("ptpbmca_version", "ptpVersion()"),
];

/// Says which pointers may be NULL, and what everything is called in Swift.
fn annotated(header: &str) -> String {
    let mut out = String::new();
    let (mut nullable, mut named) = ([false; NULLABLE.len()], [false; SWIFT_NAMES.len()]);
    // The declaration that has begun and whose `;` is still to come.
    let mut open: Option<(&str, &str)> = None;
    for line in header.lines() {
        let comment = line.starts_with([' ', '/']) && line.trim_start().starts_with(['/', '*']);
        if comment || line.starts_with('#') {
            if line.starts_with("#endif  /* PTPBMCA_H") {
                out.push_str(ANNOTATIONS_END);
            }
            out.push_str(line);
            out.push('\n');
            if line == "#include <stdint.h>" {
                out.push_str(ANNOTATIONS_BEGIN);
            }
            continue;
        }
        let mut line = line.to_owned();
        for ((from, to), seen) in NULLABLE.iter().zip(&mut nullable) {
            if line.contains(from) {
                line = line.replace(from, to);
                *seen = true;
            }
        }
        for ((name, swift), seen) in SWIFT_NAMES.iter().zip(&mut named) {
            let structure = format!("typedef struct {name} {{");
            if line == structure {
                line = format!("typedef struct PTPBMCA_SWIFT_NAME({swift}) {name} {{");
                *seen = true;
            } else if declares(&line, name) {
                open = Some((name, swift));
                *seen = true;
            }
        }
        if let (Some((name, swift)), Some(body)) = (open, line.strip_suffix(';')) {
            let gap = if body.ends_with(name) { " " } else { "\n    " };
            line = format!("{body}{gap}PTPBMCA_SWIFT_NAME({swift});");
            open = None;
        }
        out.push_str(&line);
        out.push('\n');
    }
    for ((from, _), seen) in NULLABLE.iter().zip(nullable) {
        assert!(seen, "nothing is declared like this any more: {from}");
    }
    for ((name, _), seen) in SWIFT_NAMES.iter().zip(named) {
        assert!(seen, "nothing is called {name} any more");
    }
    let (declared, given) = (out.matches("PTPBMCA_SWIFT_NAME(").count() - 2, SWIFT_NAMES.len());
    assert!(declared == given, "{declared} declarations have a Swift name, {given} are given");
    out
}

/// Whether a declaration of the function or the typedef `name` begins in this line.
fn declares(line: &str, name: &str) -> bool {
    let at_its_start = !line.starts_with(' ');
    let typedef = line.starts_with("typedef ")
        && (line.ends_with(&format!(" {name};")) || line.contains(&format!("(*{name})(")));
    let function = [" ", "*"].iter().any(|before| line.contains(&format!("{before}{name}(")));
    at_its_start && (typedef || function)
}
