//! What the machine reads, and where it stops.

use super::*;

fn form(schema: &str) -> Form {
    Form::new(&infer::Constraint::Schema(schema.to_owned())).unwrap()
}

/// Whether a text fits as a whole.
fn fits(form: &Form, text: &str) -> bool {
    let mut form = form.clone();
    form.push(text.as_bytes()) && form.may_end()
}

#[test]
fn any_object_is_read_and_nothing_else() {
    let json = Form::new(&infer::Constraint::Json).unwrap();
    for text in [
        "{}",
        r#"{"a": [1, -2.5e+3, true, null, "é\n\u00e9"], "b": {"c": {}} }"#,
        "{\n  \"a\": 1\n}",
    ] {
        assert!(fits(&json, text), "{text}");
    }
    for text in [
        "[]",
        "1",
        " {}",
        "{,}",
        r#"{"a"}"#,
        r#"{"a":1,}"#,
        r#"{"a":01}"#,
        r#"{"a":.5}"#,
        r#"{"a":"\x"}"#,
        "{}{",
        "{\"a\":\"\n\"}",
        r#"{"a":tru}"#,
    ] {
        assert!(!fits(&json, text), "{text}");
    }
    assert!(!json.clone().push(b"{\"a\":\"\xff"));
    let mut whole = json.clone();
    assert!(whole.push(b"{\"a\": {}") && !whole.is_whole());
    assert!(whole.push(b"}") && whole.is_whole());
    let mut blank = json;
    assert!(!blank.push(&b" ".repeat(99)));
}

#[test]
fn schemas_are_obeyed() {
    let schema = r##"{"type":"object","title":"x","$defs":{"kind":{"enum":["cat","dog"]}},"required":["name","kind"],
        "properties":{"name":{"type":"string","minLength":1,"maxLength":3},"kind":{"$ref":"#/$defs/kind"},
        "age":{"type":["integer","null"]},"tags":{"type":"array","items":{"const":"t"},"minItems":1,"maxItems":2}}}"##;
    let form = form(schema);
    for text in [
        r#"{"name":"Ada","kind":"cat"}"#,
        r#"{"kind":"dog","tags":["t","t"],"age":null,"name":"é"}"#,
        r#"{"name":"A","kind":"cat","age":-12}"#,
    ] {
        assert!(fits(&form, text), "{text}");
    }
    let every = r#"{"name":"A","kind":"cat","age":1,"tags":["t"]"#;
    let mut whole = form.clone();
    assert!(whole.push(every.as_bytes()) && !whole.clone().push(b",") && whole.push(b"}"));
    for text in [
        r#"{"name":"Ada"}"#,
        r#"{"name":"","kind":"cat"}"#,
        r#"{"name":"Adam","kind":"cat"}"#,
        r#"{"name":"Ada","kind":"cow"}"#,
        r#"{"name":"Ada","kind":"cat","age":1.5}"#,
        r#"{"name":"Ada","kind":"cat","tags":[]}"#,
        r#"{"name":"Ada","kind":"cat","tags":["t","t","t"]}"#,
        r#"{"name":"Ada","kind":"cat","name":"Bea"}"#,
        r#"{"name":"Ada","kind":"cat","other":1}"#,
    ] {
        assert!(!fits(&form, text), "{text}");
    }
}

#[test]
fn schemas_may_contain_themselves() {
    let schema = r##"{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","required":["v"],"properties":
        {"v":{"type":"number"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}}}}}"##;
    let form = form(schema);
    assert!(fits(&form, r#"{"v":1,"next":{"v":2.5,"next":null}}"#));
    assert!(!fits(&form, r#"{"v":1,"next":{"next":null}}"#));
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    for (schema, word) in [
        (r#"{"type":"string","pattern":"a+"}"#, "pattern"),
        (
            r#"{"type":"object","properties":{"a":{"type":"number","minimum":1}}}"#,
            "minimum",
        ),
        (
            r#"{"allOf":[{"type":"object"},{"type":"object"}]}"#,
            "allOf",
        ),
        (r#"{"$ref":"http://elsewhere"}"#, "elsewhere"),
        (r##"{"$ref":"#"}"##, "itself"),
        (r#"{"type":"thing"}"#, "thing"),
        ("{", "no JSON"),
    ] {
        let refusal = Form::new(&infer::Constraint::Schema(schema.to_owned())).unwrap_err();
        assert!(refusal.to_string().contains(word), "{schema}: {refusal}");
    }
}

/// Each level refers eight times to the next: 8^12 ways, all to the same text.
#[test]
fn choices_within_choices_are_no_more_than_what_they_lead_to() {
    let mut definitions = serde_json::Map::new();
    for level in 0..12 {
        let next = serde_json::json!({"$ref": format!("#/$defs/{}", level + 1)});
        definitions.insert(
            level.to_string(),
            serde_json::json!({"anyOf": vec![next; 8]}),
        );
    }
    definitions.insert("12".to_owned(), serde_json::json!({"enum": ["a", "b"]}));
    let schema = serde_json::json!({"$defs": definitions, "$ref": "#/$defs/0"});
    let form = form(&schema.to_string());
    assert!(fits(&form, r#""b""#));
    assert!(!fits(&form, r#""c""#));
}

#[test]
fn choices_that_lead_to_themselves_alone_are_refused() {
    for schema in [
        r##"{"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}"##,
        r##"{"$defs": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/b"}]}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}},
            "$ref": "#/$defs/a"}"##,
    ] {
        let refusal = Form::new(&infer::Constraint::Schema(schema.to_owned()));
        assert!(refusal.is_err(), "{schema}");
    }
}

/// Lists in lists: what leads back through a value is no circle.
#[test]
fn a_schema_may_contain_itself_within_a_value() {
    let form = form(
        r##"{"$defs": {"a": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#/$defs/a"}}]}}, "$ref": "#/$defs/a"}"##,
    );
    assert!(fits(&form, "[[null, []], null]"));
    assert!(!fits(&form, "[[1]]"));
}
