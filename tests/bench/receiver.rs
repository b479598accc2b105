//! A webhook receiver that costs as little as it can: a thread for each connection, 204 for every request.
//! A path that begins with /dead is never answered. Prints its address; ends with its standard input.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const BODY_BYTES_MAX: usize = 1 << 20;
const SILENCE: Duration = Duration::from_secs(600);
const REPLY: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whatever ends a connection is the sender's to see.
            std::thread::spawn(move || serve(stream).ok());
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Answers request after request until the connection ends.
fn serve(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let is_dead = line.contains(" /dead");
        let mut body_bytes = 0;
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                body_bytes = value.trim().parse().unwrap_or(0);
            }
        }
        body.resize(body_bytes.min(BODY_BYTES_MAX), 0);
        reader.read_exact(&mut body)?;
        if is_dead {
            std::thread::sleep(SILENCE);
        }
        writer.write_all(REPLY)?;
    }
}
