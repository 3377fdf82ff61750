//! Templates as models have them, and templates as enemies have them.

use super::*;

fn names() -> Names {
    Names {
        bos: Some("<s>".to_owned()),
        eos: Some("</s>".to_owned()),
        ..Names::default()
    }
}

const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + \
                      '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}\
                      {% endif %}";
const MESSAGES: &str =
    r#"[{"role":"user","content":"Hi <b>"},{"role":"assistant","content":"Yes"}]"#;

#[test]
fn conversations_become_prompts() {
    let template = Template::new(CHATML).unwrap();
    let prompt = template.render(MESSAGES, None, false, &names()).unwrap();
    assert_eq!(
        prompt,
        "<|im_start|>user\nHi <b><|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n<|im_start|>assistant\n"
    );
    let open = template.render(MESSAGES, None, true, &names()).unwrap();
    assert_eq!(
        open,
        "<|im_start|>user\nHi <b><|im_end|>\n<|im_start|>assistant\nYes"
    );
}

#[test]
fn methods_and_filters_of_python_are_there() {
    let source = "{%- set ns = namespace(found=false) -%}\n{%- for m in messages if m.content is string and \
                  m['content'].startswith('Hi') -%}{%- set ns.found = true -%}{{ m.content.split(' ')[1].strip() | trim }}\
                  {%- endfor -%}{{ ns.found }} {{ tools | tojson }} {{ messages[-1].get('role') }} \
                  {%- if strftime_now is defined %} {{ strftime_now('%Y') | length }}{% endif -%}\
                  {%- generation %}{{ messages[1:] | length }}{% endgeneration -%}";
    let template = Template::new(source).unwrap();
    let tools = r#"[{"type":"function","function":{"name":"f","x":"é<"}}]"#;
    let prompt = template.render(MESSAGES, Some(tools), false, &names());
    assert_eq!(
        prompt.unwrap(),
        r#"<b>True [{"type": "function", "function": {"name": "f", "x": "é<"}}] assistant 41"#
    );
}

#[test]
fn arguments_of_calls_are_objects() {
    let template = Template::new("{{ messages[0].tool_calls[0].function.arguments.a }}").unwrap();
    let messages = r#"[{"role":"assistant","content":null,"tool_calls":[{"function":{"arguments":"{\"a\":7}"}}]}]"#;
    assert_eq!(
        template.render(messages, None, false, &names()).unwrap(),
        "7"
    );
}

#[test]
fn a_template_may_refuse() {
    let template = Template::new("{{ raise_exception('roles must alternate') }}").unwrap();
    let refusal = template.render(MESSAGES, None, false, &names());
    assert_eq!(refusal, Err(invalid("roles must alternate")));
}

#[test]
fn hostile_templates_come_to_an_end() {
    let loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    let floods = "{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}";
    let recurses = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    for source in [loops, floods, recurses] {
        let template = Template::new(source).unwrap();
        let refusal = template
            .render(MESSAGES, None, false, &names())
            .unwrap_err();
        assert!(
            matches!(refusal, Refusal::Broken(_)),
            "{source}: {refusal:?}"
        );
    }
    for source in [
        "{% include 'a' %}",
        "{% import 'a' as b %}",
        "{% for %}",
        "{{ open('/etc/passwd') }}",
    ] {
        let outcome = Template::new(source)
            .and_then(|template| template.render(MESSAGES, None, false, &names()));
        assert!(
            matches!(outcome, Err(Refusal::Broken(_))),
            "{source}: {outcome:?}"
        );
    }
    assert!(Template::new(&"x".repeat(TEMPLATE_LEN_MAX + 1)).is_err());
}
