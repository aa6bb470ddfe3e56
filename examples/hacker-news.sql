-- As hacker-news.yaml, which says what to change.
insert into connector (name, kind, every, rate_limit, config)
values ('hacker news', 'rest', '2 minutes', '1/second', '{
    "base_url": "https://hn.algolia.com/api/v1",
    "path": "search_by_date",
    "params": {
        "query": "postgresql",
        "tags": "story",
        "numericFilters": "created_at_i>={incremental.start_value}",
        "hitsPerPage": 100
    },
    "data_selector": "hits",
    "primary_key": "objectID",
    "paginator": {"type": "page_number", "base_page": 0, "total_path": "nbPages"},
    "incremental": {"cursor_path": "created_at_i", "initial_value": 1767225600, "lag": 600}
}');

insert into workflow (name, owner, connector_id, kind, payload)
select 'hacker news to chat', 'ada@example.com', id, 'webhook', '{
    "url": "https://example.com/hooks/chat",
    "body": {"text": "{{ record.payload.title }} https://news.ycombinator.com/item?id={{ record.key }}"}
}'
from connector where name = 'hacker news';
