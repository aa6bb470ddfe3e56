-- As stripe-events.yaml, which says what to change and how to make the connection `stripe`.
insert into connector (name, kind, every, rate_limit, config)
values ('stripe events', 'rest', '30 seconds', '10/second', '{
    "base_url": "https://api.stripe.com/v1",
    "path": "events",
    "params": {"limit": 100},
    "data_selector": "data",
    "primary_key": "id",
    "paginator": {
        "type": "cursor",
        "cursor_path": "data[-1].id",
        "cursor_param": "starting_after",
        "has_more_path": "has_more"
    },
    "incremental": {
        "cursor_path": "created",
        "start_param": "created[gte]",
        "initial_value": 1767225600,
        "lag": 300
    },
    "conn_id": "stripe"
}');

insert into workflow (name, owner, connector_id, every, filter, kind, payload)
select 'failed payments', 'ada@example.com', id, '5 seconds', '$.type == "invoice.payment_failed"', 'webhook', '{
    "url": "https://example.com/hooks/payments",
    "body": "{{ record.payload.data.object }}"
}'
from connector where name = 'stripe events';
