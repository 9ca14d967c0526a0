//! From a request to its answer: who asks, the body within its bounds, the route, the time. Knows
//! no route.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use bytes::Bytes;

use super::gate::No;
use super::numbers::Refused;
use super::problem::Problem;
use super::role::Role;
use super::route::{Call, Route, Verb};
use super::site::Site;

/// All routes, ready to be asked.
pub(super) fn router(site: &Arc<Site>, routes: impl Iterator<Item = &'static Route>) -> Router {
    let mut router = Router::new();
    for route in routes {
        let filter = match route.verb {
            Verb::Get => MethodFilter::GET,
            Verb::Post => MethodFilter::POST,
            Verb::Delete => MethodFilter::DELETE,
        };
        let site = Arc::clone(site);
        let answer = move |request: Request| {
            let site = Arc::clone(&site);
            async move { finish(&site, answer(&site, route, request).await) }
        };
        router = router.route(route.path, on(filter, answer));
    }
    let (lost, wrong) = (Arc::clone(site), Arc::clone(site));
    let unknown = move |request: Request| async move {
        let detail = format!("nothing is served at {}", request.uri().path());
        finish(&lost, Err(Problem::new(StatusCode::NOT_FOUND, "no_route", detail)))
    };
    let unfit = move |request: Request| async move {
        let detail = format!("{} is not for {}", request.method(), request.uri().path());
        finish(&wrong, Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)))
    };
    router.fallback(unknown).method_not_allowed_fallback(unfit)
}

async fn answer(
    site: &Arc<Site>,
    route: &'static Route,
    request: Request,
) -> Result<Response, Problem> {
    let answering = admitted(site, route, request);
    match tokio::time::timeout(site.request_timeout, answering).await {
        Ok(Ok(answered)) => answered,
        Ok(Err((why, problem))) => {
            site.numbers.refuse(why);
            Err(problem)
        }
        Err(_) => {
            site.numbers.refuse(Refused::Timeout);
            let detail = "it took longer than listener.http.request_timeout_ms; what was asked \
                          for may be done all the same";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail))
        }
    }
}

/// The outer result is of who is not let in.
async fn admitted(
    site: &Arc<Site>,
    route: &'static Route,
    request: Request,
) -> Result<Result<Response, Problem>, No> {
    let (mut parts, body) = request.into_parts();
    let holder = match route.role {
        Some(role) => Some(site.gate.admit(&parts, role)?),
        // Anybody may ask; who has a role may hear more.
        None => site.gate.admit(&parts, Role::Viewer).ok(),
    };
    let said = parts.headers.get(CONTENT_LENGTH).and_then(|said| said.to_str().ok()?.parse().ok());
    let body = match route.body {
        Some(_) => read(body, said.unwrap_or(0), site.body_bytes_max).await?,
        None if body.is_end_stream() => Bytes::new(),
        // Nobody waits for what nobody wants.
        None => return Err(unwanted(route)),
    };
    let path = Path::<HashMap<String, String>>::from_request_parts(&mut parts, &()).await;
    let Ok(Path(in_path)) = path else {
        return Ok(Err(Problem::invalid("the address is not UTF-8 behind its %")));
    };
    let queries = match Query::<HashMap<String, String>>::try_from_uri(&parts.uri) {
        Ok(Query(queries)) => queries,
        Err(_) => return Ok(Err(Problem::invalid("the query of the address cannot be read"))),
    };
    if let Some(strange) = queries.keys().find(|name| !is_known(route, name)) {
        let detail = format!("{} takes no {strange:?}", route.path);
        return Ok(Err(Problem::invalid(detail)));
    }
    let call = Call { site: Arc::clone(site), holder, parts: in_path, queries, body };
    Ok((route.run)(call).await)
}

fn is_known(route: &Route, query: &str) -> bool {
    route.params.iter().any(|param| !param.in_path && param.name == query)
}

async fn read(body: Body, said: usize, max: usize) -> Result<Bytes, No> {
    let too_large = || {
        let detail = format!("the body is larger than listener.http.body_bytes_max, {max} bytes");
        let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail);
        (Refused::TooLarge, problem)
    };
    if said > max {
        return Err(too_large());
    }
    to_bytes(body, max).await.map_err(|_| too_large())
}

fn unwanted(route: &Route) -> No {
    let detail = format!("{} {} takes no body", route.verb.word().to_uppercase(), route.path);
    let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail);
    (Refused::TooLarge, problem)
}

fn finish(site: &Site, answered: Result<Response, Problem>) -> Response {
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    site.numbers.answered(response.status().as_u16());
    response
}
