// Shows the OpenAPI document: every route by service, every type, every problem.
const make = (tag, text, ...inside) => {
  const made = document.createElement(tag);
  made.append(text, ...inside);
  return made;
};
// A type, one of several, or a list of one.
const typeNames = (content) => {
  const schema = content?.['application/json']?.schema;
  return (schema?.oneOf ?? [schema?.items ?? schema]).flatMap((one) => one?.$ref?.split('/').pop() ?? []);
};

const route = (method, path, { summary, description, requestBody, responses }) => {
  const details = make('details', make('summary', make('code', `${method.toUpperCase()} ${path}`)));
  if (summary) details.append(make('p', `Who: ${summary}`));
  if (description) details.append(make('p', description));
  for (const type of typeNames(requestBody?.content)) details.append(make('p', 'Takes ', link(type)));
  for (const [status, { content }] of Object.entries(responses)) {
    for (const type of typeNames(content)) details.append(make('p', `${status}: `, link(type)));
  }
  return details;
};

const link = (name) => {
  const made = make('a', name);
  made.href = `#${name}`;
  return made;
};

const api = await (await fetch('/openapi.json')).json();
const services = new Map();
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const [tag] = operation.tags;
    if (!services.has(tag)) services.set(tag, [make('h3', tag)]);
    services.get(tag).push(route(method, path, operation));
  }
}
document.querySelector('#routes').append(...[...services.values()].flat());
for (const [name, schema] of Object.entries(api.components.schemas)) {
  const details = make('details', make('summary', make('code', name)), make('pre', JSON.stringify(schema, null, 2)));
  details.id = name;
  document.querySelector('#types').append(details);
}
for (const { code, status, when } of api['x-problem-codes']) {
  document.querySelector('#problems').append(make('dt', make('code', code), ` ${status}`), make('dd', when));
}
