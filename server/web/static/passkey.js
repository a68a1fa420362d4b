// Forms that a passkey answers: <form data-passkey="get|create" data-request="/path">. WebAuthn Level 3, sections 5.1.3
// and 5.1.4; the answer goes into the form's field "answer" and the form is sent as any other.

const octets = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function ask(form) {
  const answer = await fetch(form.dataset.request, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "X-Form-Token": document.querySelector('meta[name="form-token"]').content,
    },
    body: "{}",
  });
  const said = await answer.json();
  if (said.step_up) location.assign(`/step-up?next=${encodeURIComponent(location.pathname)}`);
  if (!answer.ok) throw new Error(said.told);
  return said.publicKey ?? said;
}

function decoded(options) {
  const listed = (one) => ({ ...one, id: octets(one.id) });
  const made = { ...options, challenge: octets(options.challenge) };
  if (options.user) made.user = { ...options.user, id: octets(options.user.id) };
  if (options.allowCredentials) made.allowCredentials = options.allowCredentials.map(listed);
  if (options.excludeCredentials) made.excludeCredentials = options.excludeCredentials.map(listed);
  return made;
}

function encoded(credential) {
  const given = credential.response;
  const response = { clientDataJSON: text(given.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (given[name]) response[name] = text(given[name]);
  }
  if (given.getTransports) response.transports = given.getTransports();
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
    response,
  };
}

async function send(form) {
  const said = form.querySelector("[role=alert]");
  const button = form.querySelector("button");
  said.hidden = true;
  button.disabled = true;
  try {
    let options;
    try {
      options = decoded(await ask(form));
    } catch (error) {
      throw Object.assign(error, { told: error.message });
    }
    const credential = await navigator.credentials[form.dataset.passkey]({ publicKey: options });
    form.elements.answer.value = JSON.stringify(encoded(credential));
    form.submit();
  } catch (error) {
    said.textContent = error.told || (error.name === "InvalidStateError" ? form.dataset.known : form.dataset.refused);
    said.hidden = false;
    button.disabled = false;
    button.focus();
  }
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.hidden = !window.PublicKeyCredential;
  form.nextElementSibling.hidden = !form.hidden;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}
