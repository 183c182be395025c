//! Files of the mock: upload in one piece or in parts, list, read, delete.

use serde_json::{Value, json};

use super::response::{Reply, page};

const PURPOSES: [&str; 7] = ["fine-tune", "batch", "assistants", "vision", "user_data", "evals", "fine-tune-results"];

/// Limit for all files together, in bytes: they are kept in memory.
const MOST_BYTES: usize = 2 << 30;

/// A stored file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) id: String,
    name: String,
    pub(super) purpose: String,
    created: u64,
    expires: Option<u64>,
    pub(super) bytes: Vec<u8>,
}

/// An unfinished upload in parts.
#[derive(Debug)]
struct Upload {
    id: String,
    name: String,
    purpose: String,
    size: u64,
    created: u64,
    parts: Vec<(String, Vec<u8>)>,
}

/// The fields of a multipart form, in any order.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub(super) fields: Vec<(String, String)>,
    /// File name and bytes of the file field.
    pub(super) file: Option<(String, Vec<u8>)>,
}

impl Form {
    /// Reads a form; `kind` is the `Content-Type`, which names the boundary.
    pub(super) async fn read(kind: &str, body: Vec<u8>) -> Result<Self, String> {
        let boundary = multer::parse_boundary(kind).map_err(|e| e.to_string())?;
        let whole = http_body_util::Full::new(hyper::body::Bytes::from(body));
        let mut parts = multer::Multipart::new(http_body_util::BodyDataStream::new(whole), boundary);
        let mut form = Self::default();
        while let Some(field) = parts.next_field().await.map_err(|e| e.to_string())? {
            let name = field.name().unwrap_or_default().to_owned();
            match field.file_name().map(str::to_owned) {
                Some(file) => form.file = Some((file, field.bytes().await.map_err(|e| e.to_string())?.to_vec())),
                // A part of an upload may come without a file name.
                None if name == "data" => {
                    form.file = Some((String::new(), field.bytes().await.map_err(|e| e.to_string())?.to_vec()));
                }
                None => form.fields.push((name, field.text().await.map_err(|e| e.to_string())?)),
            }
        }
        Ok(form)
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// All files and unfinished uploads of a server.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: Vec<File>,
    uploads: Vec<Upload>,
    made: u64,
}

impl File {
    fn object(&self) -> Value {
        json!({"id": self.id, "object": "file", "bytes": self.bytes.len(), "created_at": self.created,
               "expires_at": self.expires, "filename": self.name, "purpose": self.purpose, "status": "processed",
               "status_details": null})
    }
}

impl Upload {
    fn object(&self, status: &str, file: Option<Value>) -> Value {
        json!({"id": self.id, "object": "upload", "bytes": self.size, "created_at": self.created,
               "expires_at": self.created + 3600, "filename": self.name, "purpose": self.purpose, "status": status,
               "file": file})
    }
}

impl Files {
    pub(super) fn get(&self, id: &str) -> Option<&File> {
        self.files.iter().find(|file| file.id == id)
    }

    pub(super) fn add(&mut self, name: &str, purpose: &str, bytes: Vec<u8>, now: u64, expires: Option<u64>) -> String {
        self.made += 1;
        let id = format!("file-parrot{:016}", self.made);
        let expires = expires.map(|seconds| now + seconds);
        self.files.push(File {
            id: id.clone(),
            name: name.into(),
            purpose: purpose.into(),
            created: now,
            expires,
            bytes,
        });
        id
    }

    pub(super) fn create(&mut self, form: Form, now: u64) -> Reply {
        let purpose = form.field("purpose").unwrap_or_default().to_owned();
        if !PURPOSES.contains(&purpose.as_str()) {
            let message = format!("'{purpose}' is not one of {PURPOSES:?} - 'purpose'");
            return Reply::fault(400, "invalid_value", &message, Some("purpose"));
        }
        let expires = form.field("expires_after[seconds]").map(str::parse::<u64>);
        let expires = match expires {
            None => None,
            Some(Ok(seconds)) if (3600..=2_592_000).contains(&seconds) => Some(seconds),
            Some(_) => {
                let message = "expires_after[seconds] must lie from 3600 to 2592000.";
                return Reply::fault(400, "invalid_value", message, Some("expires_after"));
            }
        };
        let Some((name, bytes)) = form.file else {
            return Reply::fault(400, "missing_required_parameter", "'file' is a required property", Some("file"));
        };
        if purpose == "fine-tune" && !name.ends_with(".jsonl") {
            let message = "Invalid file format. Must be .jsonl for purpose 'fine-tune'.";
            return Reply::fault(400, "invalid_file_format", message, Some("file"));
        }
        if bytes.is_empty() {
            return Reply::fault(400, "empty_file", "File is empty.", Some("file"));
        }
        if let Some(full) = self.full(bytes.len()) {
            return full;
        }
        let id = self.add(&name, &purpose, bytes, now, expires);
        self.show(&id)
    }

    /// A refusal if `more` bytes would exceed the limit, else `None`.
    fn full(&self, more: usize) -> Option<Reply> {
        let files = self.files.iter().map(|file| file.bytes.len());
        let parts = self.uploads.iter().flat_map(|upload| &upload.parts).map(|(_, bytes)| bytes.len());
        let held: usize = files.chain(parts).sum();
        let message = "All files together would be larger than 2 GB: delete some.";
        (held + more > MOST_BYTES).then(|| Reply::fault(413, "storage_limit", message, Some("file")))
    }

    pub(super) fn show(&self, id: &str) -> Reply {
        self.get(id).map_or_else(|| Reply::not_found("File object", id), |file| Reply::ok(&file.object()))
    }

    pub(super) fn content(&self, id: &str) -> Reply {
        self.get(id).map_or_else(|| Reply::not_found("File object", id), |file| Reply::bytes(file.bytes.clone()))
    }

    pub(super) fn delete(&mut self, id: &str) -> Reply {
        let before = self.files.len();
        self.files.retain(|file| file.id != id);
        if self.files.len() == before {
            return Reply::not_found("File object", id);
        }
        Reply::ok(&json!({"id": id, "object": "file", "deleted": true}))
    }

    pub(super) fn list(&self, query: &[(String, String)]) -> Reply {
        let purpose = query.iter().find(|(key, _)| key == "purpose").map(|(_, value)| value);
        let wanted = self.files.iter().rev().filter(|file| purpose.is_none_or(|p| *p == file.purpose));
        page(wanted.map(File::object).collect(), query, 10_000, true)
    }

    pub(super) fn begin_upload(&mut self, request: &Value, now: u64) -> Reply {
        self.made += 1;
        let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
        let upload = Upload {
            id: format!("upload_parrot{:016}", self.made),
            name: text("filename"),
            purpose: text("purpose"),
            size: request["bytes"].as_u64().unwrap_or(0),
            created: now,
            parts: Vec::new(),
        };
        let reply = Reply::ok(&upload.object("pending", None));
        self.uploads.push(upload);
        reply
    }

    pub(super) fn add_part(&mut self, id: &str, form: Form, now: u64) -> Reply {
        let size = form.file.as_ref().map_or(0, |(_, bytes)| bytes.len());
        if let Some(full) = self.full(size) {
            return full;
        }
        self.made += 1;
        let part = format!("part_parrot{:016}", self.made);
        let Some(upload) = self.uploads.iter_mut().find(|upload| upload.id == id) else {
            return Reply::not_found("Upload", id);
        };
        let Some((_, bytes)) = form.file else {
            return Reply::fault(400, "missing_required_parameter", "'data' is a required property", Some("data"));
        };
        upload.parts.push((part.clone(), bytes));
        Reply::ok(&json!({"id": part, "object": "upload.part", "created_at": now, "upload_id": id}))
    }

    /// Joins the parts in the order of the request. Without a request, cancels the upload.
    pub(super) fn end_upload(&mut self, id: &str, request: Option<&Value>, now: u64) -> Reply {
        let Some(at) = self.uploads.iter().position(|upload| upload.id == id) else {
            return Reply::not_found("Upload", id);
        };
        let upload = self.uploads.remove(at);
        let Some(request) = request else { return Reply::ok(&upload.object("cancelled", None)) };
        let mut bytes = Vec::new();
        for wanted in request["part_ids"].as_array().into_iter().flatten() {
            let Some((_, part)) = upload.parts.iter().find(|(part, _)| wanted == part) else {
                return Reply::fault(400, "invalid_value", "Unknown part.", Some("part_ids"));
            };
            bytes.extend_from_slice(part);
        }
        if bytes.len() as u64 != upload.size {
            let message = "The number of bytes uploaded does not match the number of bytes of the upload.";
            return Reply::fault(400, "invalid_value", message, Some("bytes"));
        }
        let file = self.add(&upload.name, &upload.purpose, bytes, now, None);
        let file = self.get(&file).map(File::object);
        Reply::ok(&upload.object("completed", file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_together_have_a_limit() {
        let mut files = Files::default();
        files.add("a.jsonl", "fine-tune", vec![0; 1000], 0, None);
        assert!(files.full(MOST_BYTES - 1000).is_none());
        assert!(files.full(MOST_BYTES - 999).is_some());
    }
}
