//! Templates that try to take more than they are given.

use super::*;

/// What lets texts and lists grow, sixty times over: twice as long each time is more than all memory there is.
const GROWING: [&str; 20] = [
    "ns.x ~ ns.x",
    "ns.x + ns.x",
    "ns.x * 2",
    "2 * ns.x",
    "[ns.x, ns.x] | join",
    "ns.x.join([ns.x, ns.x])",
    "ns.x.join(ns.x | list)",
    "ns.x | list | join(ns.x)",
    "ns.x.replace('a', 'aaaa')",
    "ns.x | replace('a', 'aaaa')",
    "ns.x.replace('', ns.x)",
    "'{0}{0}'.format(ns.x)",
    "(ns.x ~ ns.x) | upper",
    "(ns.x ~ ns.x).title()",
    "(ns.x ~ ns.x)[::-1]",
    "[ns.x, ns.x] | string",
    "twice(ns.x)",
    "([ns.x, ns.x] | map('string') | list) ~ ''",
    "dict(a=ns.x, b=ns.x) | tojson",
    "(ns.x ~ '\\n' ~ ns.x) | indent(9)",
];

/// Whole templates that take much at once, or many times.
const LARGE: [&str; 39] = [
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x * 2 %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] | sum(start=[]) %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}\
     {% set ns.x = y %}{% endfor %}",
    "{% macro f() %}{{ caller() }}{{ caller() }}{% endmacro %}{% set ns = namespace(x='ab') %}{% for i in range(60) %}\
     {% set y %}{% call f() %}{{ ns.x }}{% endcall %}{% endset %}{% set ns.x = y %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set y %}{% filter replace('a', 'aaaa') %}{{ ns.x }}\
     {% endfilter %}{% endset %}{% set ns.x = y %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(120) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson(indent=16) }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(120) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{% set y = ns.x ~ '' %}",
    "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(120) %}{% set ns.x = [ns.x, ns.x] %}\
     {% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
    "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(120) %}{% set ns.x = [ns.x, ns.x] %}\
     {% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x < ns.y }}",
    "{% set y %}{% for i in range(99999) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
     {% for j in range(9) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}\
     {% endfor %}{{ 'x' * 99999999 }}{% endset %}",
    "{{ 'x' * 99999999 * 99999999 }}",
    "{{ [1] * 999999999999 }}",
    "{{ ('\\n' * 99999) | indent(99999, true, true) | length }}",
    "{{ 'a' | indent(999999999999, true) | length }}",
    "{{ '{:>999999999999}'.format('a') | length }}",
    "{{ '{:0999999999999d}'.format(1) | length }}",
    "{{ [1] | batch(999999999, 'x') | length }}",
    "{{ [1] | slice(999999999, 'x') | length }}",
    "{{ ('a,' * 9999999).split(',') | length }}",
    "{{ ('a ' * 9999999).split() | length }}",
    "{{ ('a\\n' * 9999999).splitlines() | length }}",
    "{{ ('a\\n' * 9999999) | lines | length }}",
    "{{ ('a' * 9999999) | list | length }}",
    "{% for c in 'a' * 9999999 %}{% endfor %}",
    "{% set x = 'a' * 999999 %}{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = ns.l + [x[i:]] %}{% endfor %}",
    "{% set x = 'ΐ' * 9999999 %}{{ x | upper | upper | upper | length }}",
    "{% set x = '&' * 9999999 %}{{ x | e | e | e | e | length }}",
    "{% set x = '\"' * 9999999 %}{{ x | tojson | tojson | tojson | length }}",
    "{% for i in range(99999) %}{% set x = range(99999) | list %}{% endfor %}",
    "{% macro f() %}{% endmacro %}{% set x = [1] * 99999 %}{% for i in range(99999) %}{{ f(*x, *x, *x) }}{% endfor %}",
    "{% set x = range(99999) | list %}{% for i in range(99999) %}{% set y = x | sort %}{% endfor %}",
    "{{ range(99999) | unique | list | length }}",
    "{% set x = 'ab' * 999999 %}{% for i in range(99999) %}{% if 'bb' in x %}{% endif %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}",
    "{% set x = 'a' * 999999 %}{% set y = 'b' * 999999 ~ 'a' %}{% for i in range(99999) %}{% set z = x.strip(y) %}{% endfor %}",
    "{% set x = 'a' * 999999 %}{% set l = [x ~ 'b'] * 9999 %}{% for i in range(99999) %}{% set z = (x ~ 'c').startswith(l) %}\
     {% endfor %}",
    "{% set x = 'a' * 999999 %}{% set d = {x ~ 'b': 1, x ~ 'c': 2, x ~ 'd': 3} %}{% set y = x ~ 'e' %}\
     {% for i in range(99999) %}{% for j in range(99) %}{% set z = d[y] %}{% endfor %}{% endfor %}",
];

fn broken_by(source: &str) -> String {
    match prompt(source) {
        Err(Refusal::Broken(text)) => text,
        other => panic!(
            "{}: {other:?}",
            source.chars().take(200).collect::<String>()
        ),
    }
}

/// The most that this process has had of memory, where the system tells.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[test]
fn nothing_grows_without_bound() {
    let before = peak();
    let bounds = [
        "makes texts and lists of more than",
        "does not come to an end",
        "writes more than",
    ];
    for growing in GROWING {
        let source = format!(
            "{{% macro twice(x) %}}{{{{ x }}}}{{{{ x }}}}{{% endmacro %}}{{% set ns = namespace(x='ab') %}}\
             {{% for i in range(60) %}}{{% set ns.x = {growing} %}}{{% endfor %}}"
        );
        let said = broken_by(&source);
        assert!(
            bounds.iter().any(|bound| said.contains(bound)),
            "{growing}: {said}"
        );
    }
    for source in LARGE {
        let said = broken_by(source);
        assert!(
            bounds.iter().any(|bound| said.contains(bound)),
            "{source}: {said}"
        );
    }
    // The first that was found, by fuzzing: filters one behind the other, each a thousand times what it was given.
    let joins = format!("| join('{}')", "L".repeat(900)).repeat(12);
    let said = broken_by(&format!(
        "{{{{ messages | map(attribute='role') {joins} }}}}"
    ));
    assert!(
        said.contains("makes texts and lists of more than"),
        "{said}"
    );
    if let (Some(before), Some(after)) = (before, peak()) {
        let grown = after.saturating_sub(before);
        assert!(grown < 3 * MADE_MAX, "{grown} bytes more");
    }
}

#[test]
fn nothing_goes_too_deep() {
    let before = [
        ("{{ ", "(", "1"),
        ("{{ ", "[", "1"),
        ("{{ ", "not ", "1 }}"),
        ("{{ ", "-", "1 }}"),
        ("{{ ", "1 if 0 else ", "1 }}"),
        ("{{ ", "a[", "1"),
        ("{{ ", "{1:", "1"),
        ("{{ ", "f(", "1"),
        ("", "{% if a %}", ""),
        ("", "{% for a in b %}", ""),
        ("{% set ", "(", "a"),
    ];
    for (begin, again, end) in before {
        let said = broken_by(&format!(
            "{begin}{}{end}{} }}}}",
            again.repeat(10_000),
            ")".repeat(10_000)
        ));
        assert!(
            said.contains("too deep") || said.contains("does not end"),
            "{again}: {said}"
        );
    }
    for source in [
        "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}",
        "{% set ns = namespace(x={}) %}{% for i in range(99999) %}{% set ns.x = {'a': ns.x} %}{% endfor %}",
        "{% set ns = namespace(x={}) %}{% for i in range(99999) %}{% set ns.x = dict(a=ns.x) %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] | batch(1) %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    ] {
        let said = broken_by(source);
        assert!(said.contains("goes too deep"), "{source}: {said}");
    }
    // What is written in one chain is no deeper for being long.
    for (source, expected) in [
        (format!("{{{{ 1{} }}}}", "+1".repeat(50_000)), "50001"),
        (format!("{{{{ 'a'{} }}}}", "|e".repeat(50_000)), "a"),
        (
            format!("{{% if 0 %}}{}{{% endif %}}", "{%elif 0%}".repeat(20_000)),
            "",
        ),
    ] {
        assert_eq!(prompt(&source).as_deref(), Ok(expected));
    }
}

#[test]
fn nothing_holds_itself() {
    for source in [
        "{% set ns = namespace() %}{% set ns.x = ns %}",
        "{% set ns = namespace() %}{% set ns.x = [ns] %}",
        "{% macro f() %}{% endmacro %}{% set ns = namespace() %}{% set ns.x = f %}",
        "{% for a in [1] %}{{ loop.changed(loop) }}{% endfor %}",
    ] {
        let said = broken_by(source);
        assert!(said.contains("data"), "{source}: {said}");
    }
}

#[test]
fn a_template_has_a_longest_length() {
    assert!(Template::new(&"x".repeat(TEMPLATE_LEN_MAX)).is_ok());
    assert!(Template::new(&"x".repeat(TEMPLATE_LEN_MAX + 1)).is_err());
}
