-- As zendesk-tickets.yaml, which says what to change and how to make the connection `zendesk`.
insert into connector (name, kind, every, dedupe, rate_limit, config)
values ('zendesk tickets', 'rest', '1 minute', 'content', '10/minute', '{
    "base_url": "https://example.zendesk.com/api/v2",
    "path": "incremental/tickets/cursor.json",
    "data_selector": "tickets",
    "primary_key": "id",
    "paginator": {"type": "json_link", "next_url_path": "($ where (tickets[0])).after_url"},
    "incremental": {
        "cursor_path": "generated_timestamp",
        "start_param": "start_time",
        "initial_value": 1767225600
    },
    "auth": "http_basic",
    "conn_id": "zendesk"
}');

insert into workflow (name, owner, connector_id, filter, kind, payload)
select 'urgent tickets', 'ada@example.com', id, '$.status == "new" && $.priority == "urgent"', 'webhook', '{
    "url": "https://example.com/hooks/tickets",
    "body": {"ticket": "{{ record.payload.id }}", "subject": "{{ record.payload.subject }}"}
}'
from connector where name = 'zendesk tickets';
