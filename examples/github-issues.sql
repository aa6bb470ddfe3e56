-- As github-issues.yaml, which says what to change and how to make the connection `github`.
insert into connector (name, kind, every, dedupe, rate_limit, config)
values ('github issues', 'rest', '1 minute', 'content', '4000/hour', '{
    "base_url": "https://api.github.com",
    "path": "repos/apache/airflow/issues",
    "headers": {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"},
    "params": {"state": "all", "per_page": 100, "sort": "updated", "direction": "desc"},
    "primary_key": "number",
    "paginator": "header_link",
    "incremental": {"cursor_path": "updated_at", "start_param": "since", "initial_value": "2026-01-01T00:00:00Z"},
    "conn_id": "github"
}');

insert into workflow (name, owner, connector_id, filter, kind, payload)
select 'open issues', 'ada@example.com', id, '!exists($.pull_request) && $.state == "open"', 'webhook', '{
    "url": "https://example.com/hooks/issues",
    "body": {"title": "{{ record.payload.title }}", "url": "{{ record.payload.html_url }}"}
}'
from connector where name = 'github issues';
