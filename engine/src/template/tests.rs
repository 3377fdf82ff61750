//! Templates as models have them, and templates as enemies have them.

mod hostile;

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

fn prompt(source: &str) -> Result<String, Refusal> {
    Template::new(source)?.render(MESSAGES, None, false, &names())
}

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

/// `fixtures/templates.py` has asked Jinja2 itself.
#[test]
fn templates_mean_what_they_mean_to_jinja() {
    let content: serde_json::Value =
        serde_json::from_str(include_str!("../../fixtures/templates.json")).unwrap();
    let messages = content["messages"].as_str().unwrap();
    let tools = content["tools"].as_str();
    let cases = content["cases"].as_array().unwrap();
    assert!(cases.len() > 40, "{} cases", cases.len());
    for case in cases {
        let source = case["source"].as_str().unwrap();
        let template = Template::new(source).unwrap_or_else(|error| panic!("{source}: {error:?}"));
        let prompt = template.render(messages, tools, false, &names());
        let expected = case["prompt"].as_str().unwrap();
        assert_eq!(prompt.as_deref(), Ok(expected), "{source}");
    }
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
    let refusal = prompt("{{ raise_exception('roles must alternate') }}");
    assert_eq!(refusal, Err(invalid("roles must alternate")));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (source, said) in [
        ("\n{% for %}", "line 2"),
        ("\n\n{{ 'a }}", "line 3"),
        ("{% if true %}", "`endif` is missing"),
        ("{% include 'a' %}", "no tag `include`"),
        ("{% break %}", "belongs into a loop"),
        ("{{ 1 + }}", "the end of the tag where a value belongs"),
        (
            "a\n{{ open('/etc/passwd') }}",
            "line 2: there is no function `open`",
        ),
        ("{{ 'a' | shell }}", "no filter `shell`"),
        ("{{ 'a' is odd }}", "no whole number"),
        ("{{ x.y }}", "`y` of what is undefined"),
        ("{{ 'a' + 1 }}", "cannot be calculated with"),
        ("{{ 1 // 0 }}", "division by zero"),
        (
            "{{ 'a'.__class__ }}{{ 'a'.encode() }}",
            "no method `encode`",
        ),
        ("{{ messages[0].items.__globals__ }}", "undefined"),
        ("{% set a, b = [1] %}", "1 values for 2 variables"),
    ] {
        match prompt(source) {
            Err(Refusal::Broken(text)) => assert!(text.contains(said), "{source}: {text}"),
            other => panic!("{source}: {other:?}"),
        }
    }
}
