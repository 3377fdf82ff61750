//! What Rust clients of the Hub do, against the endpoint in `HF_ENDPOINT`, with a cache of their own in `HF_HOME`.
//!
//! Usage: weft-rust-clients NAMESPACE/NAME FOLDER, where FOLDER holds the files as they were published.

use std::{env, error::Error, fs, path::Path};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().collect();
    let [_, id, folder] = arguments.as_slice() else {
        return Err("usage: weft-rust-clients NAMESPACE/NAME FOLDER".into());
    };
    let files = [
        "config.json",
        "tokenizer.json",
        "weights/large.bin",
        "sub/folder/of/folders/leaf.txt",
    ];
    old(id, Path::new(folder), &files)?;
    println!("hf-hub 0.5.0: well");
    #[cfg(feature = "v1")]
    {
        new(id, Path::new(folder), &files)?;
        println!("hf-hub 1.0.0: well");
    }
    Ok(())
}

fn same(got: &Path, folder: &Path, name: &str) -> Result<()> {
    if fs::read(got)? != fs::read(folder.join(name))? {
        return Err(format!("{name}: other bytes").into());
    }
    Ok(())
}

/// Version 0.5, as candle and fastembed use it.
fn old(id: &str, folder: &Path, files: &[&str]) -> Result<()> {
    use hf_hub_0::{Repo, RepoType, api::sync::ApiBuilder};

    let api = ApiBuilder::from_env().with_progress(false).build()?;
    let repo = api.model(id.to_owned());
    let info = repo.info()?;
    if info.sha.len() != 40 {
        return Err(format!("the commit is {}", info.sha).into());
    }
    for name in files {
        if !info.siblings.iter().any(|one| one.rfilename == *name) {
            return Err(format!("{name} is not listed").into());
        }
        same(&repo.get(name)?, folder, name)?;
    }
    let tagged = Repo::with_revision(id.to_owned(), RepoType::Model, "v1".to_owned());
    if fs::read(api.repo(tagged).get("config.json")?)? == fs::read(folder.join("config.json"))? {
        return Err("the tag gives the newest revision".into());
    }
    if repo.get("missing.txt").is_ok() {
        return Err("a file that is not there was found".into());
    }
    Ok(())
}

/// Version 1.0: reading, and writing with the token in `CLIENTS_TOKEN`.
#[cfg(feature = "v1")]
fn new(id: &str, folder: &Path, files: &[&str]) -> Result<()> {
    use hf_hub_1::{HFClient, HFClientSync, repository::AddSource};

    let (namespace, name) = id.split_once('/').ok_or("an id of two parts")?;
    let client = HFClientSync::new()?;
    let repo = client.model(namespace, name);
    let info = repo.info().send()?;
    if info.id != id {
        return Err(format!("the id is {}", info.id).into());
    }
    for name in files {
        let path = repo.download_file().filename(*name).send()?;
        same(&path, folder, name)?;
    }
    if repo.file_exists().filename("missing.txt").send()? {
        return Err("a file that is not there was found".into());
    }

    let token = env::var("CLIENTS_TOKEN")?;
    let writer = HFClient::builder().token(token).build_sync()?;
    let made = format!("{namespace}/from-rust");
    writer
        .create_repository()
        .repo_id(&*made)
        .repo_type(hf_hub_1::RepoTypeModel)
        .exist_ok(true)
        .send()?;
    let target = writer.model(namespace, "from-rust");
    let large: Vec<u8> = (0..12_000_000_u32).map(|n| (n % 251) as u8).collect();
    for (path, bytes) in [("small.txt", b"small".to_vec()), ("large.bin", large)] {
        let source = AddSource::Bytes(bytes.clone().into());
        target
            .upload_file()
            .source(source)
            .path_in_repo(path)
            .commit_message("up")
            .send()?;
        let got = target.download_file().filename(path).send()?;
        if fs::read(got)? != bytes {
            return Err(format!("{path}: other bytes came back").into());
        }
    }
    Ok(())
}
