use super::*;

fn host(name: &str) -> HostId {
    name.parse().unwrap()
}

fn id(last: u8) -> CommandId {
    let mut bytes = [0; 16];
    bytes[15] = last;
    CommandId::from_bytes(bytes)
}

fn frame(text: &str, command: Option<CommandId>, n: Option<u64>) -> OutputFrame {
    OutputFrame {
        line: text.to_owned(),
        command_id: command.map(|id| id.to_string()),
        n,
        ..OutputFrame::default()
    }
}

fn open() -> (tempfile::TempDir, Output) {
    let folder = tempfile::tempdir().unwrap();
    let output = Output::open(folder.path().join("output")).unwrap();
    (folder, output)
}

async fn texts(output: &Output, host: &HostId, command: CommandId, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut from = 1;
    while lines.len() < count {
        let page = output
            .follow(host, command, from, Duration::from_secs(20))
            .await
            .unwrap();
        assert!(!page.lines.is_empty(), "only {lines:?}");
        from = page.next;
        lines.extend(page.lines.into_iter().map(|line| line.text));
    }
    lines
}

#[tokio::test]
async fn lines_come_back_in_order_from_any_number() {
    let (_folder, output) = open();
    let web = host("web-1");
    output.note_command(&web, id(1), true);
    for n in 1..=5 {
        let line = frame(&format!("line {n}"), Some(id(1)), Some(n));
        output.take(&web, line).await;
    }
    let all = texts(&output, &web, id(1), 5).await;
    assert_eq!(all.last().unwrap(), "line 5");
    let page = output.read(&web, id(1), 4).await.unwrap();
    assert_eq!(page.lines[0].n, 4);
    assert_eq!((page.lines.len(), page.next, page.more), (2, 6, false));
}

#[tokio::test]
async fn a_line_without_an_id_belongs_to_what_the_host_runs() {
    let (_folder, output) = open();
    let old = host("old");
    output
        .take(&old, frame("lost: nothing runs", None, None))
        .await;
    output.note_command(&old, id(1), true);
    output.take(&old, frame("first", None, None)).await;
    output.note_command(&old, id(1), false);
    output.note_command(&old, id(2), true);
    output.take(&old, frame("second", None, None)).await;
    assert_eq!(texts(&output, &old, id(1), 1).await, ["first"]);
    assert_eq!(texts(&output, &old, id(2), 1).await, ["second"]);
}

#[tokio::test]
async fn no_host_writes_into_the_output_of_another() {
    let (_folder, output) = open();
    let (web, evil) = (host("web-1"), host("evil"));
    output.note_command(&web, id(1), true);
    output.note_command(&evil, id(2), true);
    output
        .take(&evil, frame("forged", Some(id(1)), Some(1)))
        .await;
    let mut odd = frame("odd", None, None);
    odd.command_id = Some("../../etc/passwd".to_owned());
    output.take(&evil, odd).await;
    output.take(&web, frame("mine", Some(id(1)), Some(1))).await;
    assert_eq!(texts(&output, &web, id(1), 1).await, ["mine"]);
    assert!(output.read(&evil, id(1), 1).await.unwrap().lines.is_empty());
}

#[tokio::test]
async fn resent_lines_are_not_doubled_and_dropped_ones_are_told() {
    let (_folder, output) = open();
    let web = host("web-1");
    output.note_command(&web, id(1), true);
    for n in [1, 2, 1, 2, 3] {
        let line = frame(&format!("line {n}"), Some(id(1)), Some(n));
        output.take(&web, line).await;
    }
    let mut after_gap = frame("line 9", Some(id(1)), Some(9));
    after_gap.dropped = Some(5);
    output.take(&web, after_gap).await;
    let all = texts(&output, &web, id(1), 5).await;
    assert_eq!(all[2], "line 3");
    assert!(all[3].starts_with("5 lines were dropped"), "{all:?}");
    assert_eq!(all[4], "line 9");
}

#[test]
fn output_is_cut_at_its_limit_and_says_so_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let web = host("web-1");
    let entry = |number| Entry {
        host: web.clone(),
        command: id(1),
        number,
        dropped: 0,
        stream: Stream::Stderr,
        text: "x".repeat(1024 * 1024),
    };
    for _ in 0..2 {
        let mut files = Files::new(folder.path().to_owned());
        for number in 1..=20 {
            files.write(&entry(number)).unwrap();
        }
        files.flush();
    }
    let path = file::path(folder.path(), &web, id(1));
    let mut lines = Vec::new();
    loop {
        let from = u64::try_from(lines.len()).unwrap() + 1;
        let page = file::read(&path, from, 100).unwrap();
        assert!(page.lines.len() <= 2, "a page is not much more than 1 MiB");
        lines.extend(page.lines);
        if !page.more {
            break;
        }
    }
    let last = lines.last().unwrap();
    assert!(last.text.contains("cut here"), "{}", last.text);
    assert_eq!(lines.len(), 16, "15 lines and the remark");
    let limit = MAX_BYTES + 1024;
    assert!(std::fs::metadata(&path).unwrap().len() <= limit);
}

#[tokio::test]
async fn old_files_go_and_new_ones_stay() {
    let (_folder, output) = open();
    let web = host("web-1");
    output.note_command(&web, id(1), true);
    output.take(&web, frame("kept", Some(id(1)), Some(1))).await;
    texts(&output, &web, id(1), 1).await;
    let day = Duration::from_secs(86_400);
    assert_eq!(output.remove_older_than(day).await.unwrap(), 0);
    assert_eq!(output.remove_older_than(Duration::ZERO).await.unwrap(), 1);
    assert!(output.read(&web, id(1), 1).await.unwrap().lines.is_empty());
}
