//! The API's document (OpenAPI 3.1), made of the table of routes: what it says is what is served.

use serde_json::{Map, Value, json};

use super::route::{Answers, Param, Route};
use super::shape::Book;

/// The document.
pub(super) fn document(routes: impl Iterator<Item = &'static Route>) -> Value {
    let (mut book, mut paths) = (Book::new(), Map::new());
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(route.verb.word().into(), operation(route, &mut book));
        }
    }
    let schemas: Map<String, Value> = book.into_iter().collect();
    let problem = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
    let mut components = json!({
        "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        "responses": { "Problem": {
            "description": "It was not carried out.",
            "content": { "application/problem+json": problem },
        } },
        "schemas": schemas,
    });
    components["schemas"]["Problem"] = problem_schema();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidewire",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What a broker does, and orders to it. Lists come in pages: pass \
                `next` as `cursor` until it is null. See docs/http.md.",
        },
        "paths": paths,
        "components": components,
    })
}

fn operation(route: &Route, book: &mut Book) -> Value {
    let content = match route.answers {
        Answers::Json(schema) => json!({ "application/json": { "schema": schema(book) } }),
        Answers::Text(kind) => json!({ kind: { "schema": { "type": "string" } } }),
    };
    let role = route.role.map(|role| role.word());
    let mut operation = json!({
        "operationId": route.name,
        "summary": route.about,
        "parameters": route.params.iter().map(parameter).collect::<Vec<_>>(),
        "responses": {
            "200": { "description": "Done.", "content": content },
            "default": { "$ref": "#/components/responses/Problem" },
        },
        "security": role.map(|_| json!([{ "token": [] }])).unwrap_or_else(|| json!([])),
        "x-role": role,
    });
    if route.path == "/readyz" {
        operation["responses"]["503"] = operation["responses"]["200"].clone();
    }
    if let Some(body) = route.body {
        let schema = body(book);
        let content = json!({ "application/json": { "schema": schema } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

fn parameter(param: &Param) -> Value {
    json!({
        "name": param.name,
        "in": if param.in_path { "path" } else { "query" },
        "required": param.in_path,
        "description": param.about,
        "schema": { "type": "string" },
    })
}

fn problem_schema() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "description": "What is wrong (RFC 9457); `code` is for programs, `detail` for people.",
        "properties": {
            "type": text, "title": text, "status": { "type": "integer" },
            "code": text, "detail": text,
        },
        "required": ["type", "title", "status", "code", "detail"],
        "additionalProperties": false,
    })
}
