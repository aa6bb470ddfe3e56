-- As postgresql-news.yaml, which says what to change.
insert into connector (name, kind, every, config)
values ('postgresql news', 'feed', '15 minutes', '{"url": "https://www.postgresql.org/news.rss"}');

insert into workflow (name, owner, connector_id, every, kind, payload)
select 'postgresql news to chat', 'ada@example.com', id, '5 minutes', 'webhook', '{
    "url": "https://example.com/hooks/chat",
    "body": {"text": "{{ record.payload.title }} {{ record.payload.link }}"}
}'
from connector where name = 'postgresql news';
