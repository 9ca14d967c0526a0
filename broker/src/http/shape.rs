//! What answers and bodies look like, said once: as a type that is written or read, and as the
//! schema that the API's document shows. Holds no data.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Schemas by name, as they are met.
pub(super) type Book = BTreeMap<String, Value>;

/// Something that has a schema.
pub(super) trait Shaped {
    /// Its schema, or a reference to it; what it is made of goes into the book.
    fn shape(book: &mut Book) -> Value;

    /// Whether it may be left out.
    const IS_OPTIONAL: bool = false;
}

macro_rules! plain {
    ($($kind:ty => $schema:tt,)+) => {
        $(impl Shaped for $kind {
            fn shape(_: &mut Book) -> Value {
                json!($schema)
            }
        })+
    };
}

plain! {
    String => { "type": "string" },
    bool => { "type": "boolean" },
    u16 => { "type": "integer", "minimum": 0 },
    u32 => { "type": "integer", "minimum": 0 },
    u64 => { "type": "integer", "minimum": 0 },
    i64 => { "type": "integer" },
    f64 => { "type": "number" },
    Value => {},
}

impl<T: Shaped> Shaped for Vec<T> {
    fn shape(book: &mut Book) -> Value {
        json!({ "type": "array", "items": T::shape(book) })
    }
}

impl<T: Shaped> Shaped for BTreeMap<String, T> {
    fn shape(book: &mut Book) -> Value {
        json!({ "type": "object", "additionalProperties": T::shape(book) })
    }
}

impl<T: Shaped> Shaped for Option<T> {
    fn shape(book: &mut Book) -> Value {
        json!({ "anyOf": [T::shape(book), { "type": "null" }] })
    }

    const IS_OPTIONAL: bool = true;
}

/// A field of an object: its name, what it is for, its schema, whether it may be left out.
pub(super) type Field = (&'static str, &'static [&'static str], fn(&mut Book) -> Value, bool);

/// Puts an object into the book and refers to it.
pub(super) fn object(
    book: &mut Book,
    name: &str,
    about: &[&str],
    fields: &[Field],
    is_answer: bool,
) -> Value {
    if !book.contains_key(name) {
        // Before its parts: they may be made of it.
        book.insert(name.into(), Value::Null);
        let mut properties = serde_json::Map::new();
        for (field, about, shape, _) in fields {
            let mut schema = shape(book);
            if let Value::Object(schema) = &mut schema {
                schema.insert("description".into(), said(about).into());
            }
            properties.insert((*field).into(), schema);
        }
        let needed = fields.iter().filter(|field| is_answer || !field.3);
        let needed: Vec<_> = needed.map(|field| field.0).collect();
        let schema = json!({
            "type": "object",
            "description": said(about),
            "properties": properties,
            "required": needed,
            "additionalProperties": false,
        });
        book.insert(name.into(), schema);
    }
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn said(lines: &[&str]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}

/// An answer: written as JSON, every field always there.
macro_rules! view {
    ($(#[doc = $about:literal])+ $name:ident {
        $($(#[doc = $said:literal])+ $field:ident: $kind:ty,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, serde::Serialize)]
        pub(super) struct $name {
            $($(#[doc = $said])+ pub(super) $field: $kind,)+
        }

        $crate::http::shape::shaped!($name [$($about)+] true $($field [$($said)+] $kind,)+);
    };
}

/// A body: read from JSON, strictly.
macro_rules! asked {
    ($(#[doc = $about:literal])+ $name:ident {
        $($(#[doc = $said:literal])+ $field:ident: $kind:ty,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[doc = $said])+ pub(super) $field: $kind,)+
        }

        $crate::http::shape::shaped!($name [$($about)+] false $($field [$($said)+] $kind,)+);
    };
}

macro_rules! shaped {
    ($name:ident [$($about:literal)+] $is_answer:literal
        $($field:ident [$($said:literal)+] $kind:ty,)+) => {
        impl $crate::http::shape::Shaped for $name {
            fn shape(book: &mut $crate::http::shape::Book) -> serde_json::Value {
                let fields: &[$crate::http::shape::Field] = &[
                    $((
                        stringify!($field),
                        &[$($said),+],
                        <$kind as $crate::http::shape::Shaped>::shape,
                        <$kind as $crate::http::shape::Shaped>::IS_OPTIONAL,
                    ),)+
                ];
                let about = &[$($about),+];
                $crate::http::shape::object(book, stringify!($name), about, fields, $is_answer)
            }
        }
    };
}

pub(super) use {asked, shaped, view};
